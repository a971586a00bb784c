//! The least of the service desk: boards, priorities and tickets.

use super::*;

const SETUP: &str = "System/Table Setup";

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
    ),
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
        paths::TICKETS,
        "ticket",
        "Ticket",
        "Service Desk/Service Tickets",
        &[
            text("summary", 100).req(),
            one_of("recordType", &["ProjectIssue", "ProjectTicket", "ServiceTicket"]),
            link("board", paths::BOARDS),
            any("status"),
            link("company", paths::COMPANIES).req(),
            link("site", paths::SITES),
            link("contact", paths::CONTACTS),
            link("priority", paths::PRIORITIES),
            link("agreement", paths::AGREEMENTS),
            one_of("severity", &["Low", "Medium", "High"]),
            one_of("impact", &["Low", "Medium", "High"]),
            text("externalXRef", 100),
            text("poNumber", 50),
            text("initialDescription", 0),
            text("initialInternalAnalysis", 0),
            flag("closedFlag").server(),
            opaque("integratorTags"),
            CUSTOM,
        ],
    )
    .shown(&[("summary", "summary")]),
];
