//! The product catalog and its setup tables.

use super::*;

const CATALOG: &str = "Procurement/Product Catalog";
const SETUP: &str = "System/Table Setup";
const BILLABLE: &[&str] = &["Billable", "DoNotBill", "NoCharge", "NoDefault"];

pub(super) static RESOURCES: &[Resource] = &[
    Resource::table(
        paths::CATALOG,
        "catalogItem",
        "Catalog Item",
        CATALOG,
        &[
            text("identifier", 75).req(),
            text("description", 60).req(),
            flag("inactiveFlag"),
            link("subcategory", paths::SUBCATEGORIES).req(),
            link("type", paths::PRODUCT_TYPES).req(),
            one_of("productClass", &["Agreement", "Bundle", "Inventory", "NonInventory", "Service"]),
            flag("serializedFlag"),
            flag("serializedCostFlag"),
            flag("phaseProductFlag"),
            link("unitOfMeasure", paths::UNITS),
            int("minStockLevel"),
            num("price"),
            num("cost"),
            one_of("priceAttribute", &["FixedFee", "NotToExceed", "OverrideRate", "TimeAndMaterials"]),
            flag("taxableFlag"),
            flag("dropShipFlag"),
            flag("specialOrderFlag"),
            text("customerDescription", 6000).req(),
            any("manufacturer"),
            text("manufacturerPartNumber", 50),
            link("vendor", paths::COMPANIES),
            text("vendorSku", 50),
            text("notes", 0),
            text("integrationXRef", 50),
            flag("recurringFlag"),
            num("recurringRevenue"),
            num("recurringCost"),
            flag("recurringOneTimeFlag"),
            link("recurringBillCycle", paths::BILLING_CYCLES),
            one_of("recurringCycleType", &["ContractYear", "CalendarYear"]),
            flag("calculatedPriceFlag"),
            flag("calculatedCostFlag"),
            link("category", paths::CATEGORIES).server(),
            one_of("billableOption", BILLABLE),
            link("agreementType", paths::AGREEMENT_TYPES),
            num("markupPercentage"),
            flag("markupFlag"),
            flag("autoUpdateUnitCostFlag"),
            flag("autoUpdateUnitPriceFlag"),
            CUSTOM,
        ],
    )
    .keyed("identifier", "Catalog Item ID already in use.")
    .shown(&[("identifier", "identifier")])
    .with_info(&[
        "identifier",
        "description",
        "inactiveFlag",
        "productClass",
        "price",
        "cost",
        "taxableFlag",
        "customerDescription",
        "vendorSku",
    ]),
    Resource::table(
        paths::CATEGORIES,
        "category",
        "Category",
        SETUP,
        &[
            text("name", 50).req(),
            flag("inactiveFlag"),
            text("priceLevelXref", 10),
            text("integrationXref", 50),
            flag("defaultFlag"),
        ],
    )
    .with_info(&["name", "inactiveFlag"]),
    Resource::table(
        paths::SUBCATEGORIES,
        "subCategory",
        "SubCategory",
        SETUP,
        &[
            text("name", 50).req(),
            flag("inactiveFlag"),
            text("integrationXref", 50),
            flag("defaultFlag"),
            link("category", paths::CATEGORIES).req(),
        ],
    )
    .with_info(&["name", "inactiveFlag"]),
    Resource::table(
        paths::PRODUCT_TYPES,
        "productType",
        "Product Type",
        SETUP,
        &[
            text("name", 50).req(),
            flag("inactiveFlag"),
            one_of("typeXref", &["InventoryPart", "NonInventoryPart", "OtherCharge", "Service"]),
            flag("defaultFlag"),
        ],
    )
    .with_info(&["name", "inactiveFlag"]),
    Resource::table(
        paths::UNITS,
        "unitOfMeasure",
        "Unit of Measure",
        SETUP,
        &[text("name", 50).req(), flag("inactiveFlag"), flag("defaultFlag"), text("uomScheduleXref", 31)],
    ),
];
