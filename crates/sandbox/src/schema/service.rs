//! The service desk: boards with what belongs to each, priorities, sources, tickets and their notes.

use super::*;

const SETUP: &str = "System/Table Setup";
const DESK: &str = "Service Desk/Service Tickets";

const BOARD: Field = link("board", paths::BOARDS).server();

pub(super) static RESOURCES: &[Resource] = &[
    Resource::table(
        paths::BOARDS,
        "board",
        "Service Board",
        SETUP,
        &[
            text("name", 50).req(),
            link("location", paths::LOCATIONS).req(),
            link("department", paths::DEPARTMENTS).req(),
            flag("inactiveFlag"),
            flag("projectFlag"),
        ],
    )
    .with_info(&["name", "location", "department", "inactiveFlag", "projectFlag"]),
    Resource::table(
        paths::BOARD_STATUSES,
        "boardStatus",
        "Service Status",
        SETUP,
        &[
            text("name", 50).req(),
            BOARD,
            int("sortOrder"),
            flag("displayOnBoard"),
            flag("inactive"),
            flag("closedStatus"),
            flag("timeEntryNotAllowed"),
            flag("defaultFlag"),
            one_of(
                "escalationStatus",
                &["NotResponded", "Responded", "ResolutionPlan", "Resolved", "NoEscalation"],
            ),
        ],
    ),
    Resource::table(
        paths::BOARD_TYPES,
        "boardType",
        "Service Type",
        SETUP,
        &[
            text("name", 50).req(),
            one_of("category", &["Reactive", "Proactive"]),
            flag("defaultFlag"),
            flag("inactiveFlag"),
            flag("requestForChangeFlag"),
            BOARD,
        ],
    ),
    Resource::table(
        paths::BOARD_SUBTYPES,
        "boardSubType",
        "Service Sub Type",
        SETUP,
        &[text("name", 50).req(), flag("inactiveFlag"), opaque("typeAssociationIds"), BOARD],
    )
    .with_info(&["name", "inactiveFlag", "typeAssociationIds"]),
    Resource::table(
        paths::BOARD_ITEMS,
        "boardItem",
        "Service Item",
        SETUP,
        &[text("name", 50).req(), flag("inactiveFlag"), BOARD],
    ),
    Resource::table(
        paths::ASSOCIATIONS,
        "boardTypeSubTypeItemAssociation",
        "Association",
        SETUP,
        &[
            link("type", paths::BOARD_TYPES).req(),
            link("subType", paths::BOARD_SUBTYPES),
            link("item", paths::BOARD_ITEMS),
            BOARD,
        ],
    )
    .writes(""),
    Resource::table(
        paths::PRIORITIES,
        "priority",
        "Priority",
        SETUP,
        &[
            text("name", 50).req(),
            one_of(
                "color",
                &[
                    "Black", "Blue", "Cyan", "Gray", "Green", "Lime", "Orange", "Pink", "Purple", "Red",
                    "White", "Yellow", "Custom",
                ],
            )
            .req(),
            int("sortOrder"),
            flag("defaultFlag"),
            one_of("level", &["Critical", "High", "Medium", "Low"]),
        ],
    ),
    Resource::table(
        paths::SOURCES,
        "source",
        "Source",
        SETUP,
        &[text("name", 50).req(), flag("defaultFlag")],
    )
    .with_info(&["name", "defaultFlag"]),
    Resource::table(
        paths::TICKETS,
        "ticket",
        "Ticket",
        DESK,
        &[
            text("summary", 100).req(),
            one_of("recordType", &["ProjectIssue", "ProjectTicket", "ServiceTicket"]),
            link("board", paths::BOARDS),
            link("status", paths::BOARD_STATUSES),
            link("company", paths::COMPANIES).req(),
            link("site", paths::SITES),
            link("contact", paths::CONTACTS),
            link("type", paths::BOARD_TYPES),
            link("subType", paths::BOARD_SUBTYPES),
            link("item", paths::BOARD_ITEMS),
            link("owner", paths::MEMBERS),
            link("priority", paths::PRIORITIES),
            link("source", paths::SOURCES),
            date("requiredDate"),
            num("budgetHours"),
            link("agreement", paths::AGREEMENTS),
            one_of("severity", &["Low", "Medium", "High"]),
            one_of("impact", &["Low", "Medium", "High"]),
            text("externalXRef", 100),
            text("poNumber", 50),
            flag("automaticEmailContactFlag"),
            flag("automaticEmailResourceFlag"),
            flag("automaticEmailCcFlag"),
            text("automaticEmailCc", 1000),
            text("initialDescription", 0),
            text("initialInternalAnalysis", 0),
            text("initialResolution", 0),
            flag("processNotifications"),
            flag("skipCallback"),
            text("closedDate", 0).server(),
            text("closedBy", 0).server(),
            flag("closedFlag").server(),
            int("parentTicketId").server(),
            link("mergedParentTicket", paths::TICKETS).server(),
            opaque("integratorTags"),
            CUSTOM,
        ],
    )
    .shown(&[("summary", "summary")]),
    Resource::table(
        paths::TICKET_NOTES,
        "serviceNote",
        "Service Note",
        DESK,
        &[
            int("ticketId").server(),
            text("text", 0).req(),
            flag("detailDescriptionFlag"),
            flag("internalAnalysisFlag"),
            flag("resolutionFlag"),
            flag("issueFlag"),
            link("member", paths::MEMBERS),
            link("contact", paths::CONTACTS),
            flag("customerUpdatedFlag"),
            flag("processNotifications"),
            text("dateCreated", 0).server(),
            text("createdBy", 0).server(),
            flag("internalFlag").server(),
            flag("externalFlag").server(),
        ],
    ),
];
