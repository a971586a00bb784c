//! What is left of a subscription that is cancelled before its lines were billed: which days something still bills, and
//! which credits and corrections have lost the line that they belong to. Nobody is paid for what was never charged.

use super::{Ending, lines_to_end, touched_by_person};
use crate::ids::{OrderId, ProductId};
use crate::money::{Exact, MoneyError};
use crate::period::{Period, next_day, previous_day};
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::late;
use crate::planner::picture::Line;
use crate::psa::AdditionState;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// The days that a recurring line bills or would have billed.
struct Span {
    product: ProductId,
    order: Option<OrderId>,
    from: Date,
    last: Option<Date>,
    /// Whether it is there, and was not taken away by an earlier run.
    is_there: bool,
}

impl Span {
    fn new(product: ProductId, order: Option<&OrderId>, state: &AdditionState) -> Self {
        Self { product, order: order.cloned(), from: state.effective, last: state.cancelled, is_there: true }
    }

    fn covers(&self, days: Period) -> bool {
        self.from < days.end() && self.last.is_none_or(|last| last >= days.start())
    }
}

/// A one-time line that bills or gives back days of a product.
struct Piece<'a> {
    product: ProductId,
    days: Period,
    credit: bool,
    line: Line<'a>,
}

impl Piece<'_> {
    fn role(&self) -> Role {
        self.line.origin.as_ref().map_or(Role::OneTime, |o| o.role())
    }

    /// What it comes to.
    fn amount(&self) -> Result<Exact, MoneyError> {
        self.line.state.unit_price.exact().times(self.line.state.quantity.exact())
    }
}

/// Recurring lines that stay and that go, and what was billed once beside them.
pub(super) struct Remains<'a> {
    stays: Vec<Span>,
    goes: Vec<Span>,
    pieces: Vec<Piece<'a>>,
    period: Period,
}

impl<'a> Remains<'a> {
    /// What is there before anything is written.
    pub(super) fn of(builder: &Builder<'_, 'a>, ending: &Ending) -> Self {
        let (mut stays, mut goes) = (Vec::new(), Vec::new());
        for line in lines_to_end(builder) {
            let Some(origin) = &line.origin else { continue };
            let mut span = Span::new(origin.product().clone(), origin.order(), &line.state);
            let goes_whole = !touched_by_person(&line) && super::goes(builder, &line, ending);
            if goes_whole {
                goes.push(span);
            } else {
                if ending.used_alone.contains(&span.product) {
                    let before = previous_day(ending.period.start());
                    span.last = Some(span.last.map_or(before, |last| last.min(before)));
                }
                stays.push(span);
            }
        }
        let removed = builder.own_links().iter().filter(|l| {
            l.deleted && l.role == Role::Recurring && l.written.effective >= ending.period.start()
        });
        goes.extend(removed.map(|l| {
            let span = Span::new(l.product.clone(), l.order.as_ref(), &l.written);
            Span { is_there: false, ..span }
        }));
        let pieces = builder.own_lines().filter(|l| !l.is_made_by(builder.context.order_id()));
        let pieces = pieces.filter_map(|line| piece(line, ending.day)).collect();
        Self { stays, goes, pieces, period: ending.period }
    }

    /// Whether something bills the days of the product when the lines are gone; nothing where no line of it is known to
    /// have billed them.
    pub(super) fn bills(&self, product: &ProductId, days: Period) -> Option<bool> {
        let of = |spans: &[Span]| spans.iter().any(|s| s.product == *product && s.covers(days));
        let charges = |whole: bool| {
            self.pieces.iter().any(|p| {
                !p.credit
                    && p.product == *product
                    && (p.role() == Role::Prorate || self.begins(p))
                    && p.days.intersect(days).is_some()
                    && (!whole || p.days.start() <= self.period.start() && !self.corrects(p))
            })
        };
        // An order ended it with the period: it billed all of it, beside what was billed once.
        let ended = |s: &Span| s.product == *product && s.covers(days) && s.last.is_some();
        if of(&self.stays) {
            Some(true)
        } else if self.goes.iter().any(ended) {
            Some(false)
        } else if charges(true) {
            // A line of its own that bills the period whole took the place of the recurring one.
            Some(true)
        } else if of(&self.goes) {
            Some(false)
        } else {
            charges(false).then_some(true)
        }
    }

    /// Whether an invoice has billed days of the product by a line of ours; nothing where no line that goes is known to be
    /// for them. An invoice that was made before its line was written billed nothing of it.
    pub(super) fn was_billed(
        &self,
        builder: &Builder<'_, 'a>,
        product: &ProductId,
        days: Period,
    ) -> Option<bool> {
        let of_it = self.pieces.iter().filter(|p| p.product == *product && !p.credit);
        let mut charged = of_it.filter(|p| p.days.intersect(days).is_some()).peekable();
        // An earlier run of this very order may have taken it away.
        let mut taken = builder.own_links_for(product, Role::Prorate).filter(|link| {
            late::is_removed_by_this(builder, link)
                && link.true_period.is_some_and(|own| own.intersect(days).is_some())
        });
        if charged.peek().is_none() && taken.next().is_none() {
            return None;
        }
        let recurs = |line: &Line<'_>| {
            let bills_to = line.state.cancelled.map_or(days.end(), next_day);
            line.state.effective < days.end() && bills_to > days.start() && builder.is_billed(line)
        };
        Some(
            charged.any(|p| builder.is_billed(&p.line))
                || builder.own_lines_for(product, Role::Recurring).any(recurs),
        )
    }

    /// Whether it brings a full line that goes to what the days cost: one of its own order, or the one that another
    /// change wrote in its place.
    fn corrects(&self, piece: &Piece<'_>) -> bool {
        let order = piece.line.origin.as_ref().and_then(|o| o.order());
        let whole = piece.days == self.period;
        let of = |s: &Span| {
            let own = order.is_some() && s.order.as_ref() == order;
            // A full line that is still there stands for all of its period: nothing else bills days of it.
            own && (whole || s.from == piece.days.start())
                || whole && s.is_there && s.from == self.period.start()
        };
        piece.role() == Role::Prorate
            && self.goes.iter().any(|s| s.product == piece.product && of(s) && s.covers(piece.days))
    }

    /// Whether it bills the period before its own order's recurring line begins.
    fn begins(&self, piece: &Piece<'_>) -> bool {
        let order = piece.line.origin.as_ref().and_then(|o| o.order());
        piece.role() == Role::OneTime
            && order.is_some()
            && self.stays.iter().chain(&self.goes).any(|s| {
                s.product == piece.product && s.order.as_ref() == order && s.from == piece.days.end()
            })
    }

    /// Whether a credit has lost what it gives back.
    fn is_for_nothing(&self, piece: &Piece<'_>) -> bool {
        if let Some(bills) = self.bills(&piece.product, piece.days) {
            return !bills;
        }
        // The part of a plan switch is written for the new product: what it gives back is of the line that ended for it.
        let last = Some(piece.days.last_day());
        let ended = |spans: &[Span]| spans.iter().any(|s| s.last == last && s.covers(piece.days));
        if ended(&self.stays) || ended(&self.goes) {
            return !ended(&self.stays);
        }
        // A discount with a product of its own is one of what its order charges.
        let order = piece.line.origin.as_ref().and_then(|o| o.order());
        let made = |s: &Span| s.order.as_ref() == order && s.covers(piece.days);
        let charged = self
            .pieces
            .iter()
            .any(|p| !p.credit && p.line.origin.as_ref().is_some_and(|o| o.order() == order));
        order.is_some() && !charged && self.goes.iter().any(made) && !self.stays.iter().any(made)
    }

    /// One-time lines that no invoice has billed and whose recurring line goes: where lines are written full with a
    /// correction beside them, those corrections; and credits, the newest first, as far as they are more than what stays
    /// charged beside them.
    pub(super) fn lost(&self, builder: &Builder<'_, 'a>) -> Result<Vec<Line<'a>>, MoneyError> {
        let correction = |p: &Piece<'_>| self.corrects(p) && self.bills(&p.product, p.days) != Some(true);
        let free = |p: &Piece<'_>| !builder.is_billed(&p.line) && !touched_by_person(&p.line);
        let (mut lost, rest): (Vec<&Piece<'a>>, Vec<&Piece<'a>>) =
            self.pieces.iter().partition(|p| free(p) && correction(p));
        let (credits, others): (Vec<&Piece<'a>>, Vec<&Piece<'a>>) =
            rest.into_iter().partition(|p| p.credit && free(p) && self.is_for_nothing(p));
        let products: BTreeSet<&ProductId> = credits.iter().map(|p| &p.product).collect();
        for product in products {
            let of_it = |p: &&&Piece<'a>| p.product == *product;
            // What was charged of other days is not what these give back.
            let same_days = |p: &&&Piece<'_>| {
                credits.iter().filter(of_it).any(|credit| credit.days.intersect(p.days).is_some())
            };
            let charged = others.iter().filter(|p| p.role() == Role::Prorate).filter(same_days);
            let mut net = Exact::ZERO;
            for piece in credits.iter().chain(charged).filter(of_it) {
                net = net.plus(piece.amount()?)?;
            }
            for piece in credits.iter().filter(of_it).rev() {
                if net.is_negative() {
                    net = net.minus(piece.amount()?)?;
                    lost.push(piece);
                }
            }
        }
        Ok(lost.into_iter().map(|p| p.line.clone()).collect())
    }
}

/// Whether a full line and its correction, which no invoice has billed, stand together for days that were used: of what
/// was sold within the period, or billed by another line until it began. A full line of what was sold with the period is
/// one that was never billed, whatever changed since.
pub(super) fn stands_for_used_days(builder: &Builder<'_, '_>, line: &Line, period: Period) -> bool {
    let Some(origin) = line.origin.as_ref().filter(|o| o.order().is_some()) else { return false };
    if !period.contains(line.state.effective) {
        return false;
    }
    let corrects = |l: &Line| {
        l.is_for(origin.product(), Role::Prorate)
            && piece(l, period.last_day()).is_some_and(|p| p.days.contains(line.state.effective))
    };
    let goes_on = |l: &Line| {
        l.is_for(origin.product(), Role::Recurring)
            && l.state.effective < period.start()
            && l.state.cancelled.is_some_and(|last| next_day(last) >= period.start())
    };
    builder.own_lines().any(corrects)
        && (line.state.effective > period.start()
            || origin.true_period().is_some() && builder.own_lines().any(goes_on))
}

/// A one-time line that is for days of a product up to `day`; those after it go anyway.
fn piece<'a>(line: &Line<'a>, day: Date) -> Option<Piece<'a>> {
    let origin = line.origin.as_ref()?;
    if !matches!(origin.role(), Role::Prorate | Role::Refund | Role::Setup | Role::OneTime) {
        return None;
    }
    let days = line.days()?;
    let credit = line.state.quantity.is_negative() != line.state.unit_price.is_negative();
    let product = origin.product().clone();
    (days.start() <= day).then(|| Piece { product, days, credit, line: line.clone() })
}

/// One-time lines of the products for days from `boundary` on that no invoice has billed: they went with lines that
/// somebody else takes over from that day.
pub fn pieces_from<'a>(
    builder: &Builder<'_, 'a>,
    products: &BTreeSet<ProductId>,
    boundary: Date,
) -> Vec<Line<'a>> {
    builder
        .own_lines()
        .filter(|l| {
            l.origin.as_ref().is_some_and(|o| {
                matches!(o.role(), Role::Prorate | Role::Refund)
                    && products.contains(o.product())
                    && o.true_period().map_or(l.state.effective, Period::start) >= boundary
            }) && !l.is_made_by(builder.context.order_id())
                && !builder.is_billed(l)
                && !touched_by_person(l)
        })
        .cloned()
        .collect()
}
