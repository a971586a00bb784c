//! A line that is brought to another agreement: the same state goes on there, and no order gave it another.

use super::{Builder, NewLine};
use crate::ids::OrderId;
use crate::period::{Period, next_day};
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::picture::Line;
use crate::psa::{AdditionState, Agreement};
use jiff::civil::Date;

impl<'a> Builder<'_, 'a> {
    /// The order that what is written now comes from.
    pub(super) fn given_by(&self) -> Option<&'a OrderId> {
        self.moves.unwrap_or_else(|| self.context.order_id())
    }

    /// Writes what `old` bills as a line of the task's agreement that begins on `begin`; whether it can begin there.
    pub fn go_on_here(
        &mut self,
        old: &Line<'a>,
        new: NewLine<'a>,
        (begin, last): (Date, Option<Date>),
        period: Period,
    ) -> Result<bool, Stop> {
        let order = late::given_by(old).and_then(|order| {
            let links = self.own_links().iter().copied();
            links.filter_map(|link| link.order.as_ref()).find(|known| *known == order)
        });
        let (kept_back, agreement) = (self.kept_back(), self.context.agreement);
        self.moves = Some(order.or(old.origin.as_ref().and_then(|origin| origin.order())));
        let done = self.recurring(agreement, new, begin, last, period);
        self.moves = None;
        done.map(|()| self.kept_back() == kept_back)
    }

    /// Ends a line because of where its subscription is billed: no order ends what it bills.
    pub fn end_by_nobody(&mut self, line: &Line<'a>, last: Date, reason: String) -> Result<(), Stop> {
        self.moves = Some(None);
        let done = self.end(line, last, reason);
        self.moves = None;
        done
    }

    /// Takes note of the last day that a line bills on an agreement that is over and takes no writes.
    pub fn ends_with(&mut self, line: &Line<'a>, last: Date) {
        let ended = AdditionState { cancelled: Some(last), ..(*line.state).clone() };
        self.picture.set_state(line, ended, None);
    }

    /// The first day that no invoice of an agreement has billed.
    pub fn open_from(&self, agreement: &'a Agreement) -> Option<Date> {
        self.last_invoiced_day(agreement).map(next_day)
    }
}
