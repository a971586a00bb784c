//! The calls that are used, typed.

use super::cond::Cond;
use super::error::ClientError;
use super::page::Query;
use super::patch::PatchOp;
use super::session::ConnectWiseClient;
use super::wire::{
    Addition, Agreement, BillingCycle, CatalogItem, Company, Currency, Each, Invoice, NewAddition,
    NewAgreement, NewCatalogItem, NewCompany, SetupRow, SystemInfo, UserDefinedField, names,
};

impl ConnectWiseClient {
    /// Companies that meet a condition; those in the recycle bin are listed as well where the server does so.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_companies(&self, query: &Query) -> Result<Vec<Company>, ClientError> {
        self.list("/company/companies", &query.clone().fields(names::COMPANY_FIELDS)).await
    }

    /// Companies by id.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_companies_by_id(&self, ids: &[i64]) -> Result<Vec<Company>, ClientError> {
        self.list_in("/company/companies", names::ID, ids, &Query::all().fields(names::COMPANY_FIELDS)).await
    }

    /// Agreements that meet a condition.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_agreements(&self, query: &Query) -> Result<Vec<Agreement>, ClientError> {
        self.list("/finance/agreements", query).await
    }

    /// All agreements of these companies.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_agreements_of(&self, companies: &[i64]) -> Result<Vec<Agreement>, ClientError> {
        self.list_in("/finance/agreements", names::COMPANY_ID, companies, &Query::all()).await
    }

    /// Agreements by id.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_agreements_by_id(&self, ids: &[i64]) -> Result<Vec<Agreement>, ClientError> {
        self.list_in("/finance/agreements", names::ID, ids, &Query::all()).await
    }

    /// Agreements that meet a condition, also where some of them are not understood.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`], but for records that are not understood and have an id.
    pub async fn list_each_agreement(&self, query: &Query) -> Result<Vec<Each<Agreement>>, ClientError> {
        self.list("/finance/agreements", query).await
    }

    /// Agreements by their own id or by that of their company, also where some of them are not understood.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list_each_agreement`].
    pub async fn list_each_agreement_in(
        &self,
        field: &'static str,
        ids: &[i64],
    ) -> Result<Vec<Each<Agreement>>, ClientError> {
        self.list_in("/finance/agreements", field, ids, &Query::all()).await
    }

    /// One agreement.
    ///
    /// # Errors
    /// Where it is not there or not readable.
    pub async fn get_agreement(&self, id: i64) -> Result<Agreement, ClientError> {
        self.get(&format!("/finance/agreements/{id}"), "").await
    }

    /// The additions of an agreement, all of them: ended ones tell what was billed.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_additions(&self, agreement: i64) -> Result<Vec<Addition>, ClientError> {
        self.list(&format!("/finance/agreements/{agreement}/additions"), &Query::all()).await
    }

    /// One addition.
    ///
    /// # Errors
    /// Where it is not there or not readable.
    pub async fn get_addition(&self, agreement: i64, id: i64) -> Result<Addition, ClientError> {
        self.get(&format!("/finance/agreements/{agreement}/additions/{id}"), "").await
    }

    /// Creates an addition.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been created.
    pub async fn create_addition(
        &self,
        agreement: i64,
        addition: &NewAddition,
    ) -> Result<Addition, ClientError> {
        self.post(&format!("/finance/agreements/{agreement}/additions"), addition).await
    }

    /// Sets fields of an addition.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been written; repeating it is harmless.
    pub async fn patch_addition(
        &self,
        agreement: i64,
        id: i64,
        ops: &[PatchOp],
    ) -> Result<Addition, ClientError> {
        self.patch(&format!("/finance/agreements/{agreement}/additions/{id}"), ops).await
    }

    /// Deletes an addition.
    ///
    /// # Errors
    /// Every way in which it may still be there.
    pub async fn delete_addition(&self, agreement: i64, id: i64) -> Result<(), ClientError> {
        self.delete(&format!("/finance/agreements/{agreement}/additions/{id}")).await
    }

    /// Catalog items by id.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_catalog_by_id(&self, ids: &[i64]) -> Result<Vec<CatalogItem>, ClientError> {
        self.list_in("/procurement/catalog", names::ID, ids, &Query::all()).await
    }

    /// Catalog items that meet a condition.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_catalog(&self, query: &Query) -> Result<Vec<CatalogItem>, ClientError> {
        self.list("/procurement/catalog", query).await
    }

    /// Creates a catalog item.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been created. The identifier is unique, so a second one is refused.
    pub async fn create_catalog_item(&self, item: &NewCatalogItem) -> Result<CatalogItem, ClientError> {
        self.post("/procurement/catalog", item).await
    }

    /// Creates a company.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been created. The identifier is unique, so a second one is refused.
    pub async fn create_company(&self, company: &NewCompany) -> Result<Company, ClientError> {
        self.post("/company/companies", company).await
    }

    /// Creates an agreement.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been created.
    pub async fn create_agreement(&self, agreement: &NewAgreement) -> Result<Agreement, ClientError> {
        self.post("/finance/agreements", agreement).await
    }

    /// The types of agreements.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_agreement_types(&self) -> Result<Vec<SetupRow>, ClientError> {
        match self.list("/finance/agreements/types", &Query::all()).await {
            Err(ClientError::Refused(api)) if api.status == 403 => {
                self.list("/finance/agreements/types/info", &Query::all()).await
            }
            other => other,
        }
    }

    /// The contacts of a company.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_contacts_of(&self, company: i64) -> Result<Vec<SetupRow>, ClientError> {
        let query = Query::filter(Cond::eq(names::COMPANY_ID, company)).fields("id,inactiveFlag,defaultFlag");
        self.list("/company/contacts", &query).await
    }

    /// The subcategories of products.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_product_subcategories(&self) -> Result<Vec<SetupRow>, ClientError> {
        self.list("/procurement/subcategories/info", &Query::all()).await
    }

    /// The types of products.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_product_types(&self) -> Result<Vec<SetupRow>, ClientError> {
        self.list("/procurement/types/info", &Query::all()).await
    }

    /// The billing cycles of the tenant. Without the right to its setup tables the readable copy answers, which has
    /// names and no lengths.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_billing_cycles(&self) -> Result<Vec<BillingCycle>, ClientError> {
        match self.list("/finance/billingCycles", &Query::all()).await {
            Err(ClientError::Refused(api)) if api.status == 403 => {
                self.list("/finance/billingCycles/info", &Query::all()).await
            }
            other => other,
        }
    }

    /// The currencies of the tenant.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_currencies(&self) -> Result<Vec<Currency>, ClientError> {
        match self.list("/finance/currencies", &Query::all()).await {
            Err(ClientError::Refused(api)) if api.status == 403 => {
                self.list("/finance/currencies/info", &Query::all()).await
            }
            other => other,
        }
    }

    /// Invoices that meet a condition.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_invoices(&self, query: &Query) -> Result<Vec<Invoice>, ClientError> {
        self.list("/finance/invoices", query).await
    }

    /// Custom fields with a caption, on whatever screen.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_custom_fields(&self, caption: &str) -> Result<Vec<UserDefinedField>, ClientError> {
        self.list("/system/userDefinedFields", &Query::filter(Cond::eq(names::CAPTION, caption))).await
    }

    /// Facts of the server. Some sites give them without keys, so this proves no right.
    ///
    /// # Errors
    /// Where the site is out of reach.
    pub async fn get_system_info(&self) -> Result<SystemInfo, ClientError> {
        self.get("/system/info", "").await
    }
}
