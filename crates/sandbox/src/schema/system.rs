//! Members, the corporate structure, roles, custom field definitions and callbacks.

use super::*;

const MEMBERS: &str = "System/Member Maintenance";
const MY_COMPANY: &str = "System/My Company";
const SETUP: &str = "System/Table Setup";

pub(super) static RESOURCES: &[Resource] = &[
    Resource::table(
        paths::MEMBERS,
        "member",
        "Member",
        MEMBERS,
        &[
            text("identifier", 15).req(),
            one_of("licenseClass", &["A", "C", "F", "X"]).req(),
            text("notes", 0),
            flag("inactiveFlag"),
            text("firstName", 30).req(),
            text("middleInitial", 1),
            text("lastName", 30).req(),
            date("hireDate").req(),
            text("officeEmail", 250),
            one_of("defaultEmail", &["Office", "Mobile", "Home"]).req(),
            text("primaryEmail", 250),
            text("officePhone", 15),
            one_of("defaultPhone", &["Office", "Mobile", "Home"]).req(),
            link("securityRole", paths::SECURITY_ROLES).req(),
            text("title", 0),
            any("timeZone"),
            flag("adminFlag"),
            link("defaultLocation", paths::LOCATIONS),
            link("defaultDepartment", paths::DEPARTMENTS),
            num("dailyCapacity"),
        ],
    )
    .keyed("identifier", "Member ID already in use.")
    .shown(&[("identifier", "identifier"), ("name", "@fullName")])
    .writes("AU"),
    Resource::table(
        paths::API_MEMBERS,
        "apiMember",
        "API Member",
        MEMBERS,
        &[
            text("identifier", 15).req(),
            text("name", 30),
            text("emailAddress", 250),
            flag("inactiveFlag"),
            any("timeZone"),
            link("securityRole", paths::SECURITY_ROLES),
            any("structureLevel"),
            link("defaultLocation", paths::LOCATIONS),
            link("defaultDepartment", paths::DEPARTMENTS),
            text("notes", 0),
        ],
    )
    .keyed("identifier", "Member ID already in use.")
    .shown(BY_IDENTIFIER)
    .writes("AU"),
    Resource::table(
        paths::LOCATIONS,
        "location",
        "Location",
        MY_COMPANY,
        &[
            any("structureLevel").req(),
            text("name", 50).req(),
            text("salesRep", 50),
            any("timeZoneSetup"),
            text("overrideAddressLine1", 50),
            text("overrideCity", 50),
            text("overrideState", 50),
            text("overrideZip", 12),
            text("payrollXref", 10),
            flag("locationFlag"),
            flag("clientFlag"),
            opaque("departmentIds"),
        ],
    ),
    Resource::table(
        paths::DEPARTMENTS,
        "department",
        "Department",
        MY_COMPANY,
        &[text("identifier", 15).req(), text("name", 50).req()],
    )
    .shown(BY_IDENTIFIER),
    Resource::table(
        paths::CUSTOM_FIELDS,
        "userDefinedField",
        "Custom Field",
        SETUP,
        &[
            int("podId").req(),
            text("caption", 25).req(),
            int("sequenceNumber").req(),
            text("screenId", 25),
            text("helpText", 1000),
            one_of(
                "fieldTypeIdentifier",
                &[
                    "TextArea",
                    "Button",
                    "Currency",
                    "Date",
                    "Hyperlink",
                    "IPAddress",
                    "Checkbox",
                    "Number",
                    "Percent",
                    "Text",
                    "Password",
                ],
            )
            .req(),
            int("numberDecimals"),
            one_of("entryTypeIdentifier", &["Date", "EntryField", "List", "Option"]),
            flag("requiredFlag"),
            flag("displayOnScreenFlag"),
            flag("readOnlyFlag"),
            flag("listViewFlag"),
            text("buttonUrl", 1000),
            opaque("options"),
            opaque("businessUnitIds"),
            opaque("locationIds"),
            flag("addAllBusinessUnits"),
            flag("addAllLocations"),
            date("dateCreated").server(),
        ],
    )
    .shown(&[("name", "caption")])
    .with_info(&["caption", "fieldTypeIdentifier", "entryTypeIdentifier"]),
    Resource::table(
        paths::SECURITY_ROLES,
        "securityRole",
        "Security Role",
        "System/Security Roles",
        &[text("name", 30).req(), text("roleType", 30), flag("adminFlag"), flag("inactiveFlag")],
    )
    .with_info(&["name", "inactiveFlag"])
    .writes("AD"),
    Resource::table(
        paths::CALLBACKS,
        "callbackEntry",
        "CallbackEntry",
        SETUP,
        &[
            text("description", 100),
            text("url", 0).req(),
            int("objectId").req(),
            text("type", 0).req(),
            text("level", 0).req(),
            int("memberId").server(),
            text("payloadVersion", 0),
            flag("inactiveFlag"),
            flag("isSoapCallbackFlag"),
            flag("isSelfSuppressedFlag"),
        ],
    )
    .shown(&[("description", "description")]),
];
