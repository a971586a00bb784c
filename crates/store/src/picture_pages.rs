//! Pages of the local picture: what ConnectWise holds, as far as it was read, filtered and cut by the database.

use crate::pages::{Wanted, field};
use crate::store::SqlStore;
use crate::{db, error};
use serde::de::DeserializeOwned;
use trueup_domain::ids::{CompanyId, OrganizationId};
use trueup_domain::psa::{Agreement, CatalogItem, Company, ObservedAddition};
use trueup_engine::ports::StoreError;
use trueup_engine::records::Millis;

/// Which records of one kind are wanted; they come in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct PicturePage {
    /// These ids; empty means all.
    pub ids: Vec<i64>,
    /// Of this company, where the kind is of one.
    pub company: Option<CompanyId>,
    /// Text in the record.
    pub search: Option<String>,
    /// After this id.
    pub after: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

impl SqlStore {
    /// Companies.
    ///
    /// # Errors
    /// The database's.
    pub async fn page_companies(
        &self,
        org: &OrganizationId,
        connection: &str,
        page: &PicturePage,
    ) -> Result<Vec<Company>, StoreError> {
        Ok(self.page_picture(org, (connection, "company"), page).await?.into_iter().map(|(c, _)| c).collect())
    }

    /// Agreements.
    ///
    /// # Errors
    /// The database's.
    pub async fn page_agreements(
        &self,
        org: &OrganizationId,
        connection: &str,
        page: &PicturePage,
    ) -> Result<Vec<Agreement>, StoreError> {
        let rows = self.page_picture(org, (connection, "agreement"), page).await?;
        Ok(rows.into_iter().map(|(agreement, _)| agreement).collect())
    }

    /// Catalog items.
    ///
    /// # Errors
    /// The database's.
    pub async fn page_catalog_items(
        &self,
        org: &OrganizationId,
        connection: &str,
        page: &PicturePage,
    ) -> Result<Vec<CatalogItem>, StoreError> {
        let rows = self.page_picture(org, (connection, "catalog_item"), page).await?;
        Ok(rows.into_iter().map(|(item, _)| item).collect())
    }

    /// The additions of one agreement and when they were read; none where they never were.
    ///
    /// # Errors
    /// The database's.
    pub async fn additions_of(
        &self,
        org: &OrganizationId,
        connection: &str,
        agreement: i64,
    ) -> Result<Option<(Vec<ObservedAddition>, Millis)>, StoreError> {
        let page = PicturePage { ids: vec![agreement], limit: 1, ..PicturePage::default() };
        Ok(self.page_picture(org, (connection, "additions"), &page).await?.into_iter().next())
    }

    async fn page_picture<T: DeserializeOwned>(
        &self,
        org: &OrganizationId,
        (connection, kind): (&str, &str),
        page: &PicturePage,
    ) -> Result<Vec<(T, Millis)>, StoreError> {
        let mut wanted = Wanted::of(org);
        wanted.equal("connection", Some(connection));
        wanted.equal("kind", Some(kind));
        if !page.ids.is_empty() {
            let bound: Vec<String> = page.ids.iter().map(|id| wanted.bind(*id)).collect();
            wanted.and(&format!("id IN ({})", bound.join(", ")));
        }
        if let Some(company) = page.company {
            let at = wanted.bind(company.0.to_string());
            wanted.and(&format!("CAST({} AS TEXT) = {at}", field(self, "company")));
        }
        wanted.holds(&["doc"], page.search.as_deref());
        if let Some(after) = page.after {
            let at = wanted.bind(after);
            wanted.and(&format!("id > {at}"));
        }
        let limit = wanted.bind(i64::from(page.limit));
        let sql =
            format!("SELECT doc, read_at FROM picture_part WHERE {} ORDER BY id LIMIT {limit}", wanted.sql);
        let rows = db::query(&self.db, &sql, wanted.values).await?;
        rows.iter()
            .map(|row| {
                let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
                Ok((
                    db::from_doc("a record of the picture", &doc)?,
                    row.try_get("", "read_at").map_err(error::of_db)?,
                ))
            })
            .collect()
    }
}
