//! Where the key of a line is written, and how it is found again.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Mutex;
use trueup_domain::settings::MarkerPlace;
use trueup_engine::ports::PsaError;

use super::failure::{lookup_missing, psa_error};
use crate::client::wire;
use crate::client::{ClientError, ConnectWiseClient};

/// The caption that is looked for where the setting says nothing.
const CAPTION: &str = "trueup key";

/// Where keys are written on this tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The custom field with this id.
    CustomField(i64),
    /// The serial number.
    SerialNumber,
    /// Nowhere.
    Nowhere,
}

/// Finds the place once and keeps it.
#[derive(Debug)]
pub(super) struct Marker {
    setting: MarkerPlace,
    found: Mutex<Option<Place>>,
    /// The id of the custom field, seen in an addition; 0 while none was.
    seen: AtomicI64,
}

impl Marker {
    pub(super) fn new(setting: MarkerPlace) -> Self {
        Self { setting, found: Mutex::new(None), seen: AtomicI64::new(0) }
    }

    /// The caption whose field carries keys.
    pub(super) fn caption(&self) -> &str {
        match &self.setting {
            MarkerPlace::CustomField(caption) => caption,
            MarkerPlace::Auto | MarkerPlace::SerialNumber | MarkerPlace::None => CAPTION,
        }
    }

    /// Looks whether additions that were read show the field: they name it surer than the table of definitions does,
    /// where captions repeat on other screens.
    pub(super) fn notice(&self, additions: &[wire::Addition]) {
        if self.seen.load(Ordering::Relaxed) != 0 {
            return;
        }
        let field = additions
            .iter()
            .flat_map(|a| a.custom_fields.iter().flatten())
            .find(|f| f.caption.as_deref().is_some_and(|c| same_caption(c, self.caption())));
        if let Some(field) = field {
            self.seen.store(field.id, Ordering::Relaxed);
        }
    }

    /// Where to write.
    ///
    /// # Errors
    /// Where a field was asked for by name and the tenant has none, or the tenant cannot be asked.
    pub(super) async fn place(&self, client: &ConnectWiseClient) -> Result<Place, PsaError> {
        match &self.setting {
            MarkerPlace::None => return Ok(Place::Nowhere),
            MarkerPlace::SerialNumber => return Ok(Place::SerialNumber),
            MarkerPlace::Auto | MarkerPlace::CustomField(_) => {}
        }
        let seen = self.seen.load(Ordering::Relaxed);
        if seen != 0 {
            return Ok(Place::CustomField(seen));
        }
        let mut found = self.found.lock().await;
        if let Some(place) = found.as_ref() {
            return Ok(place.clone());
        }
        let place = match (self.find_field(client).await.map_err(psa_error)?, &self.setting) {
            (Some(id), _) => Place::CustomField(id),
            (None, MarkerPlace::CustomField(caption)) => {
                return Err(lookup_missing(&format!(
                    "custom field on additions with the caption `{caption}`"
                )));
            }
            (None, _) => Place::SerialNumber,
        };
        *found = Some(place.clone());
        Ok(place)
    }

    /// The place in words.
    pub(super) async fn describe(&self, client: &ConnectWiseClient) -> Result<String, ClientError> {
        Ok(match &self.setting {
            MarkerPlace::None => "nowhere".to_owned(),
            MarkerPlace::SerialNumber => "serial number".to_owned(),
            MarkerPlace::CustomField(caption) => match self.find_field(client).await? {
                Some(_) => format!("custom field {caption}"),
                None => format!("custom field {caption}, which the tenant does not have on additions"),
            },
            MarkerPlace::Auto => match self.find_field(client).await? {
                Some(_) => format!("custom field {CAPTION}"),
                None => "serial number".to_owned(),
            },
        })
    }

    /// The custom field of additions with our caption; nothing where the member may not see definitions.
    async fn find_field(&self, client: &ConnectWiseClient) -> Result<Option<i64>, ClientError> {
        let seen = self.seen.load(Ordering::Relaxed);
        if seen != 0 {
            return Ok(Some(seen));
        }
        let fields = match client.list_custom_fields(self.caption()).await {
            Ok(fields) => fields,
            Err(ClientError::Refused(api)) if matches!(api.status, 403 | 404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut usable: Vec<&wire::UserDefinedField> = fields
            .iter()
            .filter(|f| f.caption.as_deref().is_some_and(|c| same_caption(c, self.caption())))
            .filter(|f| f.read_only_flag != Some(true))
            .collect();
        let on_additions = |f: &wire::UserDefinedField| {
            f.screen_id.as_deref().is_some_and(|screen| screen.to_ascii_lowercase().contains("addition"))
        };
        if usable.iter().any(|f| on_additions(f)) {
            usable.retain(|f| on_additions(f));
        }
        // One definition is taken even where its screen has a name of the tenant's own; of several none is surely right.
        Ok(match usable.as_slice() {
            [only] => Some(only.id),
            _ => None,
        })
    }
}

/// Captions are typed by people.
pub(super) fn same_caption(one: &str, other: &str) -> bool {
    one.trim().eq_ignore_ascii_case(other.trim())
}
