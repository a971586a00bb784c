//! Random runs of orders of all kinds under random settings: what ConnectWise bills over the life of a subscription is
//! what the marketplace charged, within the rounding; what is not billed is said with its amount; planning again writes
//! nothing; the checker accepts every plan.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::AgreementId;
use trueup_domain::money::{Exact, RoundingMode};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;
use trueup_domain::planner::{Credit, Extent};
use trueup_domain::proration::{DayCount, share};
use trueup_domain::task::{Demand, Task};

const COUNTS: [(&str, DayCount); 5] = [
    ("actual", DayCount::Actual),
    ("seconds", DayCount::Seconds),
    ("actual_30", DayCount::Actual30),
    ("strict_30_360", DayCount::Strict30360),
    ("cloudblue_literal", DayCount::CloudblueLiteral),
];

/// What is chosen for a whole run.
#[derive(Clone, Debug)]
struct Choice {
    mode: usize,
    credits: bool,
    place: bool,
    rounding: usize,
    count: usize,
    edit: bool,
    old_day: bool,
    /// Day of the month that periods begin on.
    anchor: i8,
    /// Orders are planned together where nothing is invoiced between them.
    batch: bool,
    /// Day of the month that the agreement's invoices begin on, where it is another one.
    invoiced_from: Option<i8>,
    /// Day of the first month that billing starts on, where the agreement is invoiced by the calendar.
    calendar_from: Option<i8>,
    /// Every plan is taken back and made again.
    taken_back: bool,
    /// Prices come from ConnectWise, which asks the same for a seat at all times.
    catalog: bool,
    /// Nobody bills part periods.
    unprorated: bool,
    /// Beside the run every plan is taken back after so many invoices.
    taken_back_late: Option<usize>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
struct Step {
    kind: usize,
    days: i64,
    quantity: i64,
    price: i64,
    invoices: u8,
    next_month: bool,
}

fn choices() -> impl Strategy<Value = Choice> {
    (
        (0_usize..4, any::<bool>(), any::<bool>(), 0_usize..4, 0_usize..COUNTS.len()),
        (any::<bool>(), any::<bool>(), prop_oneof![Just(1_i8), Just(20), 28_i8..=31], any::<bool>()),
        0_usize..6,
    )
        .prop_map(|((mode, credits, place, rounding, count), (edit, old_day, anchor, batch), who)| {
            Choice {
                mode,
                credits,
                place,
                rounding,
                count,
                edit,
                old_day,
                anchor,
                batch,
                invoiced_from: None,
                calendar_from: None,
                taken_back: false,
                catalog: who == 4,
                unprorated: who == 5,
                taken_back_late: None,
            }
        })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_usize..8, 0_i64..31, 0_i64..12, 0_i64..4, 0_u8..3, any::<bool>()).prop_map(
        |(kind, days, quantity, price, invoices, next_month)| Step {
            kind,
            days,
            quantity,
            price,
            invoices,
            next_month,
        },
    );
    prop::collection::vec(step, 1..8)
}

fn dec(exact: Exact) -> Decimal {
    exact.round(9, RoundingMode::HalfUp).unwrap()
}

/// The run, and what the marketplace charged for it.
struct Run {
    lab: Lab,
    anchor: jiff::civil::Date,
    count: DayCount,
    old_day: bool,
    batch: Vec<Order>,
    batches: bool,
    taken_back: bool,
    taken_back_late: Option<usize>,
    charged: Exact,
    billed: Decimal,
    said: Vec<Finding>,
    orders: usize,
    units: i64,
}

impl Run {
    fn new(choice: &Choice) -> Self {
        let anchor = jiff::civil::date(2023, 1, choice.anchor);
        let mut lab = Lab::monthly(&anchor.to_string(), &anchor.to_string());
        if let Some(day) = choice.invoiced_from {
            let bill_start = jiff::civil::date(2022, 11, day);
            let open = BillingCycle::MONTHLY.period_containing(bill_start, anchor).unwrap();
            lab.agreement(
                40,
                BillingCycle::MONTHLY,
                "USD",
                &bill_start.to_string(),
                &open.start().to_string(),
            );
        }
        if let Some(day) = choice.calendar_from {
            let bill_start = jiff::civil::date(2023, 1, day).to_string();
            lab.agreement(40, BillingCycle::MONTHLY, "USD", &bill_start, &bill_start);
            lab.agreement_mut(40).by_calendar = true;
        }
        lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
        lab.product("fee", 8, ProductKind::OneTime, "5.00", "1.00");
        lab.item(20, if choice.catalog { "50.00" } else { "0" }, "0");
        lab.set("proration_by", if choice.unprorated { "none" } else { "trueup" });
        lab.set("price_source", if choice.catalog { "connectwise" } else { "marketplace" });
        lab.map(trueup_domain::mapping::MappingKind::Fee, "cancellation", 20);
        lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, &anchor.to_string());
        lab.set("line_mode", ["prorate_line", "single", "dual", "commitment"][choice.mode]);
        lab.set("credits", if choice.credits { "on" } else { "off" });
        lab.set("rounding_place", if choice.place { "line" } else { "unit" });
        lab.set("rounding_mode", ["half_up", "half_even", "floor", "ceil"][choice.rounding]);
        lab.set("day_count", COUNTS[choice.count].0);
        lab.set("quantity_change", if choice.edit { "edit_in_place" } else { "end_and_create" });
        lab.set("change_day", if choice.old_day { "old" } else { "new" });
        Self {
            lab,
            anchor,
            count: COUNTS[choice.count].1,
            old_day: choice.old_day,
            batch: Vec::new(),
            batches: choice.batch,
            taken_back: choice.taken_back,
            taken_back_late: choice.taken_back_late,
            charged: Exact::ZERO,
            billed: Decimal::ZERO,
            said: Vec::new(),
            orders: 0,
            units: 1,
        }
    }

    fn period(&self, month: i64) -> Period {
        let at = |n| BillingCycle::MONTHLY.boundary(self.anchor, n).unwrap();
        Period::new(at(month), at(month + 1)).unwrap()
    }

    fn charge(&mut self, amount: Exact) {
        self.charged = self.charged.plus(amount).unwrap();
    }

    /// The share of a period from the day on, as the settings count.
    fn share(&self, period: Period, from: jiff::civil::Date) -> Exact {
        match period.from_day(from) {
            None => Exact::ZERO,
            Some(rest) if rest == period => Exact::ONE,
            Some(rest) => share(self.count, period, rest).unwrap().exact().unwrap(),
        }
    }

    fn order(&mut self, order: Order) {
        self.orders += 1;
        let mut order = order;
        order.completed_us = i64::try_from(self.orders).unwrap();
        self.batch.push(order);
        if !self.batches {
            self.flush();
        }
    }

    /// Plans and applies what has come in, and proves that the newest of it planned again writes nothing.
    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return;
        }
        let mut tasks: Vec<(Task, Demand)> =
            batch.iter().map(|o| (self.lab.task(o), Demand::Order(Box::new(o.clone())))).collect();
        let mut draft = self.lab.plan_tasks(&tasks);
        if let Some(invoices) = self.taken_back_late {
            take_back_late(&self.lab, &draft, &tasks, invoices);
        }
        let before = lines(&self.lab);
        let done = self.lab.apply(&draft);
        if self.taken_back {
            let after = lines(&self.lab);
            let back = self.lab.undo(&[(&draft, &done)], &Extent::Everything);
            assert!(back.findings.is_empty(), "{:#?}", back.findings);
            self.lab.apply(&back);
            assert_eq!(lines(&self.lab), before, "not as before:\n{}", show(&back));
            tasks.iter_mut().for_each(|(task, _)| task.undone += 1);
            draft = self.lab.plan_tasks(&tasks);
            self.lab.apply(&draft);
            assert_eq!(lines(&self.lab), after, "not as after:\n{}", show(&draft));
        }
        // Work that is done is not planned again; the newest order may be, after a run that broke off.
        let again = self.lab.plan_tasks(&tasks[tasks.len() - 1..]);
        assert!(again.changes.iter().all(|c| !c.writes()), "again:\n{}", show(&again));
        self.said.extend(draft.findings);
    }

    fn invoice(&mut self) {
        self.flush();
        self.billed += self.lab.invoice(40).parse::<Decimal>().unwrap();
    }

    /// Whether what is sold is billed by lines that began before the period.
    fn begun_before(&mut self, period: Period) -> bool {
        self.flush();
        let mut open = self.lab.snapshot.additions_of(AgreementId(40)).iter().filter(|a| {
            a.state.catalog_item.0 == 7 && a.state.cancelled.is_none_or(|last| last >= period.end())
        });
        open.all(|a| a.state.effective < period.start())
    }

    fn next_invoice(&self) -> jiff::civil::Date {
        self.lab.snapshot.agreements[&AgreementId(40)].next_invoice.unwrap()
    }
}

/// A plan that is taken back whole after some invoices leaves the customer with what would have been billed without it,
/// whatever they billed of it.
fn take_back_late(lab: &Lab, draft: &DraftPlan, tasks: &[(Task, Demand)], invoices: usize) {
    let (mut without, mut with) = (lab.clone(), lab.clone());
    let done = with.apply(draft);
    let mut billed = bill(&mut with, invoices);
    let back = with.undo(&[(draft, &done)], &Extent::Everything);
    let held = back.findings.iter().any(|f| f.severity == Severity::Error);
    assert!(!held, "after {invoices} invoices:\n{}\n{:#?}", show(draft), back.findings);
    // Where nothing is to be given back, what is told is what the invoices differ by.
    let mut kept = with.clone();
    let told = kept.undo_with(&[(draft, &done)], &Extent::Everything, Credit::LeaveOut);
    kept.apply(&told);
    let left_out: Decimal = told.findings.iter().filter(|f| f.code == Code::Tu6005).map(amount).sum();
    let kept = billed + bill(&mut kept, 2);
    with.apply(&back);
    // Made again it is billed as if it were made for the first time.
    let (mut again, mut first) = (with.clone(), without.clone());
    let before = bill(&mut first, invoices);
    let mut anew = tasks.to_vec();
    anew.iter_mut().for_each(|(task, _)| task.undone += 1);
    let (once_more, once) = (again.plan_tasks(&anew), first.plan_tasks(tasks));
    again.apply(&once_more);
    first.apply(&once);
    let (twice_billed, once_billed) = (billed + bill(&mut again, 2), before + bill(&mut first, 2));
    assert_eq!(
        twice_billed,
        once_billed,
        "made again after {invoices} invoices:\n{}\nback:\n{}\nagain:\n{}\nfirst:\n{}",
        show(draft),
        show(&back),
        show(&once_more),
        show(&once)
    );
    billed += bill(&mut with, 2);
    let wanted = bill(&mut without, invoices + 2);
    assert_eq!(billed, wanted, "after {invoices} invoices:\n{}\nback:\n{}", show(draft), show(&back));
    assert_eq!(bill(&mut with, 1), bill(&mut without, 1), "afterwards:\n{}", show(&back));
    assert_eq!(kept, wanted - left_out, "nothing given back:\n{}\n{:#?}", show(&told), told.findings);
}

fn amount(finding: &Finding) -> Decimal {
    finding.amount.unwrap().0.decimal()
}

/// Makes so many invoices and gives what they come to.
fn bill(lab: &mut Lab, count: usize) -> Decimal {
    (0..count).map(|_| lab.invoice(40).parse::<Decimal>().unwrap()).sum()
}

/// What the additions bill, whatever their ids.
fn lines(lab: &Lab) -> Vec<String> {
    let all = lab.snapshot.additions.values().flatten();
    let mut lines: Vec<String> = all.map(|a| serde_json::to_string(&a.state).unwrap()).collect();
    lines.sort();
    lines
}

fn cents(value: i64) -> String {
    Decimal::new(value, 2).to_string()
}

/// Plays a run to its end and compares what was billed with what was charged and what was said.
fn play(choice: &Choice, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut run = Run::new(choice);
    let sold = order("SO", OrderKind::Sales, &run.anchor.to_string(), run.period(0)).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    run.order(sold.0);
    let (mut month, mut at) = (0_i64, 0_i64);
    let (mut quantity, mut price) = (5_i64, 2200_i64);
    run.charge(Exact::ratio(i128::from(quantity * price), 100).unwrap());
    let value = |q: i64, p: i64| Exact::ratio(i128::from(q * p), 100).unwrap();
    let mut ended = false;
    for (index, step) in steps.iter().enumerate() {
        if step.next_month {
            month += 1;
            at = 0;
            run.charge(value(quantity, price));
        }
        let period = run.period(month);
        for _ in 0..step.invoices {
            // At most a period ahead of the orders.
            if run.next_invoice() <= period.start() {
                run.invoice();
            }
        }
        if step.invoices == 2 && run.next_invoice() <= period.end() {
            run.invoice();
        }
        at = (at + step.days).min(period.days() - 1);
        let on = period.start().checked_add(jiff::Span::new().days(at)).unwrap();
        let counts_from = if run.old_day { on.tomorrow().unwrap() } else { on };
        let id = format!("O-{index}");
        let rest = run.share(period, counts_from);
        match step.kind {
            // More, fewer, dearer, cheaper.
            0..=4 => {
                let asked = if choice.catalog { price } else { 2000 + step.price * 150 };
                let new_price = if step.kind > 2 { asked } else { price };
                let new_quantity = if step.kind == 3 { quantity } else { step.quantity };
                if quantity == 0 && new_quantity == 0 {
                    continue;
                }
                let mut made = order(&id, OrderKind::Change, &on.to_string(), period).change(
                    "1",
                    "seat",
                    quantity,
                    new_quantity,
                    &cents(new_price),
                    "17.60",
                );
                made.0.lines[0].old_unit_price = Some(cents(price).parse().unwrap());
                run.units = run.units.max(quantity).max(new_quantity);
                let difference = value(new_quantity, new_price).minus(value(quantity, price)).unwrap();
                run.charge(difference.times(rest).unwrap());
                (quantity, price) = (new_quantity, new_price);
                run.order(made.0);
            }
            // A fee, and use of the period; no two orders charge the same, since a second one would wait.
            5 => {
                let place = i64::try_from(index).unwrap();
                let (used, times, fee) =
                    if choice.catalog { (500, place + 1, 500) } else { (5, 1, 750 + place) };
                let made = order(&id, OrderKind::Billing, &on.to_string(), period)
                    .with(line("1", Charge::Overuse, "fee", &step.quantity.to_string(), &cents(used), "0.03"))
                    .with(line("2", Charge::OneTime, "fee", &times.to_string(), &cents(fee), "1.00"));
                run.charge(value(step.quantity, used).plus(value(times, fee)).unwrap());
                run.order(made.0);
            }
            // A renewal at the start of the next period.
            6 if quantity > 0 => {
                month += 1;
                at = 0;
                let period = run.period(month);
                let new_price = if choice.catalog { price } else { 2000 + step.price * 150 };
                let made = order(&id, OrderKind::Renewal, &period.start().to_string(), period).with(line(
                    "1",
                    Charge::Recurring,
                    "seat",
                    &step.quantity.max(1).to_string(),
                    &cents(new_price),
                    "17.60",
                ));
                (quantity, price) = (step.quantity.max(1), new_price);
                run.units = run.units.max(quantity);
                run.charge(value(quantity, price));
                run.order(made.0);
            }
            // The end, with the rest of the period given back; a line that was never billed goes whole instead.
            7 if quantity > 0 && !run.old_day && run.begun_before(period) => {
                let mut refund = line("1", Charge::Refund, "seat", "1", "", "");
                let given = dec(value(quantity, price).times(rest).unwrap()).round_dp(2);
                refund.amount = Some((-given).to_string().parse().unwrap());
                refund.cost_amount = Some("0".parse().unwrap());
                let made = order(&id, OrderKind::Cancellation, &on.to_string(), period)
                    .with(refund)
                    .with(line("9", Charge::Cancellation, "fee", "1", "50.00", "0"));
                run.charge(value(1, 5000));
                run.charge(Exact::ZERO.minus(Exact::from_decimal(given)).unwrap());
                quantity = 0;
                ended = true;
                run.order(made.0);
            }
            _ => {}
        }
        if ended {
            break;
        }
    }
    run.flush();
    // Invoices go on until everything that was ordered is billed, and two periods more.
    let horizon = run.period(month + 2).start();
    while run.next_invoice() <= horizon {
        run.invoice();
    }
    for _ in 0..2 {
        run.charge(value(quantity, price));
    }
    let unaligned = run.said.iter().any(|f| f.code == Code::Tu4006 && f.severity == Severity::Warning);
    prop_assert!(!unaligned, "{:?}", run.said);
    let left_out: Decimal = run
        .said
        .iter()
        .filter(|f| f.code == Code::Tu6005)
        .filter_map(|f| f.amount)
        .map(|(amount, _)| amount.decimal())
        .sum();
    let charged = dec(run.charged);
    let wanted = charged - left_out;
    let cent = if choice.rounding > 1 { 2 } else { 1 };
    let tolerance = Decimal::new(cent, 2)
        * Decimal::from(run.units + 1)
        * Decimal::from(i64::try_from(run.orders).unwrap() + 1);
    prop_assert!(
        (run.billed - wanted).abs() <= tolerance,
        "billed {} instead of {wanted} (charged {charged}, left out {left_out})\n{:#?}",
        run.billed,
        run.said
            .iter()
            .map(|f| format!("{} {} {}", f.code, f.severity.name(), f.message))
            .collect::<Vec<_>>()
    );
    // Afterwards every invoice bills exactly the last state.
    let next: Decimal = run.lab.invoice(40).parse().unwrap();
    prop_assert_eq!(next, Decimal::new(quantity * price, 2));
    prop_assert!(run.said.iter().all(|f| f.severity != Severity::Error), "{:?}", run.said);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_charged_is_billed_or_said(choice in choices(), steps in steps()) {
        play(&choice, &steps)?;
    }

    /// With ConnectWise's prices no part of a period is billed: it is said, and all else is as it is with the same prices of a
    /// marketplace.
    #[test]
    fn with_prices_of_connectwise_what_was_charged_is_billed_or_said(choice in choices(), steps in steps()) {
        play(&Choice { catalog: true, ..choice }, &steps)?;
    }

    /// The same where parts of periods are not billed at all.
    #[test]
    fn without_proration_what_was_charged_is_billed_or_said(choice in choices(), steps in steps()) {
        play(&Choice { unprorated: true, ..choice }, &steps)?;
    }

    /// Taking a plan back leaves nothing of it, and making it again leaves the same as the first time.
    #[test]
    fn what_is_taken_back_and_made_again_is_as_it_was(choice in choices(), steps in steps()) {
        play(&Choice { taken_back: true, ..choice }, &steps)?;
    }

    /// As above, with invoices before it is taken back.
    #[test]
    fn what_is_taken_back_late_is_as_if_it_had_never_been(choice in choices(), steps in steps(), invoices in 1_usize..4) {
        play(&Choice { taken_back_late: Some(invoices), credits: true, ..choice }, &steps)?;
    }

    /// The same where the invoices do not lie on the periods.
    #[test]
    fn what_is_taken_back_late_beside_the_invoices_is_as_if_it_had_never_been(
        choice in choices(),
        steps in steps(),
        invoices in 1_usize..4,
        from in 1_i8..=28,
        calendar in any::<bool>(),
    ) {
        let choice = Choice { mode: 0, taken_back_late: Some(invoices), credits: true, ..choice };
        let choice = match calendar {
            true => Choice { calendar_from: Some(from.min(choice.anchor)), ..choice },
            false => Choice { invoiced_from: Some(from), ..choice },
        };
        play(&choice, &steps)?;
    }

    /// Whatever day the agreement is invoiced from: what was charged is billed.
    #[test]
    fn beside_the_invoices_what_was_charged_is_billed(
        choice in choices(),
        steps in steps(),
        from in 1_i8..=28,
    ) {
        let choice = Choice { mode: 0, invoiced_from: Some(from), ..choice };
        play(&choice, &steps)?;
    }
    /// Also where it is invoiced by the calendar: the first invoice bills what is left of its month.
    #[test]
    fn on_the_calendar_what_was_charged_is_billed(choice in choices(), steps in steps(), from in 1_i8..=31) {
        let choice = Choice { mode: 0, calendar_from: Some(from.min(choice.anchor)), ..choice };
        play(&choice, &steps)?;
    }
}

/// The cancellation of a line was taken back after an invoice and made again, where the invoices do not lie on the periods:
/// what the undo caught up is of the period that the invoice stands for, and is neither owed nor given back twice.
#[test]
fn a_cancellation_that_is_made_again_beside_the_invoices_gives_back_once() {
    let choice = Choice {
        mode: 0,
        credits: true,
        place: false,
        rounding: 0,
        count: 0,
        edit: false,
        old_day: false,
        anchor: 20,
        batch: false,
        invoiced_from: Some(1),
        calendar_from: None,
        taken_back: false,
        catalog: false,
        unprorated: false,
        taken_back_late: Some(1),
    };
    let step =
        |kind, invoices, next_month| Step { kind, days: 0, quantity: 0, price: 0, invoices, next_month };
    play(&choice, &[step(6, 2, false), step(7, 0, true)]).unwrap();
}

/// A change that begins a product again and a renewal of it, planned together over invoiced days: what the renewal replaced was
/// there to be renewed, also when it is planned again.
#[test]
fn a_renewal_that_replaced_what_was_begun_again_is_not_billed_whole() {
    let step = |kind, quantity, price, invoices, next_month| Step {
        kind,
        days: 0,
        quantity,
        price,
        invoices,
        next_month,
    };
    let (began, renewed) = (step(0, 1, 0, 2, false), step(6, 0, 0, 0, false));
    for (mode, anchor, before) in [
        (2, 20, [step(6, 8, 2, 0, false), step(1, 0, 2, 0, false)]),
        (3, 29, [step(6, 0, 3, 2, true), step(4, 0, 2, 0, false)]),
    ] {
        let choice = Choice {
            mode,
            credits: false,
            place: false,
            rounding: 2,
            count: 0,
            edit: false,
            old_day: false,
            anchor,
            batch: true,
            invoiced_from: None,
            calendar_from: None,
            taken_back: false,
            catalog: false,
            unprorated: false,
            taken_back_late: None,
        };
        play(&choice, &[&before[..], &[began.clone(), renewed.clone()]].concat()).unwrap();
    }
}
