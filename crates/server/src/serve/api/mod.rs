//! The routes: thin handlers over the use cases of the engine.

mod alerts;
mod approvals;
mod audit;
mod callbacks;
mod connections;
mod feed;
mod figures;
mod findings;
mod grid;
mod jobs;
mod mapping_choices;
mod mapping_create;
mod mapping_work;
mod mappings;
mod oidc;
mod organization_moves;
mod organizations;
mod overview;
mod picture;
mod plans;
mod quantity;
mod records;
mod runs;
mod schedules;
mod session;
mod settings;
mod tasks;
mod tokens;
mod undo;
mod users;
mod webhooks;

pub use callbacks::Callbacks;
pub use jobs::validation_of;
pub use plans::adoption;

use super::state::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route of the API.
pub fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(session::sign_in, session::show, session::sign_out))
        .routes(routes!(session::change_password))
        .routes(routes!(oidc::ways))
        .routes(routes!(oidc::begin))
        .routes(routes!(oidc::end))
        .routes(routes!(organizations::list, organizations::add))
        .routes(routes!(organizations::show, organizations::rename))
        .routes(routes!(organization_moves::foresee, organization_moves::carry_out))
        .routes(routes!(settings::list))
        .routes(routes!(settings::reach))
        .routes(routes!(settings::set, settings::reset))
        .routes(routes!(connections::list, connections::add))
        .routes(routes!(connections::remove))
        .routes(routes!(connections::test))
        .routes(routes!(connections::rotate))
        .routes(routes!(feed::push))
        .routes(routes!(overview::show))
        .routes(routes!(figures::show))
        .routes(routes!(records::customers))
        .routes(routes!(records::products))
        .routes(routes!(records::sources))
        .routes(routes!(picture::catalog))
        .routes(routes!(picture::companies))
        .routes(routes!(picture::agreements))
        .routes(routes!(picture::agreement))
        .routes(routes!(picture::names))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::decide))
        .routes(routes!(plans::list, plans::make))
        .routes(routes!(plans::show))
        .routes(routes!(undo::plan))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::show))
        .routes(routes!(approvals::decide))
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::show))
        .routes(routes!(runs::events))
        .routes(routes!(jobs::list, jobs::validate))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::upload))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::grid))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(callbacks::make, callbacks::end))
        .routes(routes!(callbacks::receive))
        .routes(routes!(findings::list))
        .routes(routes!(findings::show))
        .routes(routes!(findings::decide))
        .routes(routes!(mappings::list, mappings::set, mappings::release))
        .routes(routes!(mappings::import))
        .routes(routes!(mappings::export))
        .routes(routes!(mappings::suggestions))
        .routes(routes!(mapping_choices::choices))
        .routes(routes!(mapping_work::accept))
        .routes(routes!(mapping_work::foresee, mapping_work::release_shown))
        .routes(routes!(mapping_work::history))
        .routes(routes!(mapping_create::create))
        .routes(routes!(mapping_work::companies))
        .routes(routes!(mapping_work::import_companies))
        .routes(routes!(audit::list))
        .routes(routes!(audit::chain))
        .routes(routes!(audit::explanation))
        .routes(routes!(quantity::show))
        .routes(routes!(quantity::assign))
        .routes(routes!(quantity::unset))
        .routes(routes!(quantity::rule))
        .routes(routes!(quantity::customer))
        .routes(routes!(quantity::pick))
        .routes(routes!(quantity::lines))
        .routes(routes!(quantity::preview))
        .routes(routes!(quantity::run))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::rules, alerts::set_rule, alerts::unset_rule))
        .routes(routes!(alerts::places))
        .routes(routes!(alerts::test))
        .routes(routes!(alerts::run))
        .routes(routes!(alerts::show))
        .routes(routes!(alerts::activity))
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::change))
        .routes(routes!(users::reset))
        .routes(routes!(tokens::list, tokens::add))
        .routes(routes!(tokens::revoke))
        .routes(routes!(webhooks::list, webhooks::add))
        .routes(routes!(webhooks::show, webhooks::change, webhooks::remove))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::delivery))
        .routes(routes!(webhooks::redeliver))
}
