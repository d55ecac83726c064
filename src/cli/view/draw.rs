//! The picture. A pure function of the view and the size of the screen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table};

use super::{
    DiscrepancyLine, Fate, FlowLine, IncidentLine, PlantLine, Samples, Share, View, brief, clock_face, size, spoken,
};
use crate::model::Verdict;

/// From this width on everything has room.
const WIDE: u16 = 110;
/// Lines that discrepancies and plants need together.
const LEAST_STORY: u16 = 14;
/// Incidents that are shown; there are rarely more.
const INCIDENTS: usize = 4;

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let flows = view.flows.len() as u16 + 3;
    let samples = match view.flows.iter().filter(|flow| flow.samples.is_some()).count() {
        0 => 0,
        sampled => sampled as u16 + 3,
    };
    let cost_lines = cost_lines(view, frame.area().width);
    let costs = cost_lines.len() as u16;
    // What is wrong must have its place; what samples say comes after that.
    let incidents = match view.incidents.len().min(INCIDENTS) {
        0 => 0,
        shown => shown as u16 + 2,
    };
    let left = frame.area().height.saturating_sub(flows + costs + incidents + 2);
    let samples = if left >= samples + LEAST_STORY { samples } else { 0 };
    let [head, flow_area, sample_area, incident_area, rest, cost_area, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(flows),
        Constraint::Length(samples),
        Constraint::Length(incidents),
        Constraint::Min(4),
        Constraint::Length(costs),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, view);
    draw_flows(frame, flow_area, view);
    if samples > 0 {
        draw_samples(frame, sample_area, view);
    }
    if incidents > 0 {
        draw_incidents(frame, incident_area, view);
    }
    if view.plants.is_empty() {
        draw_discrepancies(frame, rest, view);
    } else {
        let [upper, lower] = Layout::vertical([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(rest);
        draw_discrepancies(frame, upper, view);
        draw_plants(frame, lower, view);
    }
    frame.render_widget(Paragraph::new(cost_lines), cost_area);
    draw_foot(frame, foot, view);
}

/// What the looks cost so far, and per second: as many lines as it takes.
fn cost_lines(view: &View, width: u16) -> Vec<Line<'static>> {
    let seconds = view.elapsed.as_secs_f64().max(1.0);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for cost in &view.costs {
        let rate = format!("{:.1} calls/s, {} records", cost.calls as f64 / seconds, cost.records);
        let part = [Span::raw(format!(" · {} ", cost.system)), Span::styled(rate, Style::new().fg(Color::Cyan))];
        let wanted: usize = part.iter().map(Span::width).sum();
        match lines.last_mut().filter(|line| line.width() + wanted <= usize::from(width)) {
            Some(line) => line.extend(part),
            None => {
                let begin = if lines.is_empty() { " cost" } else { "     " };
                let mut line = Line::from(Span::styled(begin, faint()));
                line.extend(part);
                lines.push(line);
            }
        }
    }
    lines
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let time = match view.run_for {
        Some(end) => format!("{} of {} ", clock_face(view.elapsed), clock_face(end)),
        None => format!("{} ", clock_face(view.elapsed)),
    };
    let left = Line::from(vec![" plumbline ".bold().reversed(), format!(" {}", view.title).into()]);
    let [name, trend, clock] = Layout::horizontal([
        Constraint::Min(20),
        Constraint::Length(if area.width >= WIDE { 46 } else { 0 }),
        Constraint::Length(time.chars().count() as u16),
    ])
    .areas(area);
    frame.render_widget(left, name);
    draw_trend(frame, trend, view);
    frame.render_widget(Line::from(time.bold()), clock);
}

/// Checks a second over the last half minute.
fn draw_trend(frame: &mut Frame<'_>, area: Rect, view: &View) {
    if area.width < 16 {
        return;
    }
    let [label, graph] = Layout::horizontal([Constraint::Length(10), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::from("checks/s ".dim()), label);
    let room = graph.width.saturating_sub(3) as usize;
    let recent = &view.checks_per_second[view.checks_per_second.len().saturating_sub(room)..];
    frame.render_widget(Sparkline::default().data(recent).style(Style::new().fg(Color::Cyan)), graph);
}

/// What a flow's table shows: title, width, and whether a narrow screen does without it.
const FLOW_COLUMNS: [(&str, u16, bool); 10] = [
    ("match", 7, true),
    ("in flight", 9, false),
    ("bad", 5, false),
    ("unknown", 7, true),
    ("open", 4, false),
    ("overdue", 7, false),
    ("oldest", 8, true),
    ("lag p50", 8, false),
    ("lag p99", 8, false),
    ("coverage", 13, true),
];

fn draw_flows(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let wide = area.width >= WIDE;
    let shown = |index: usize| wide || !FLOW_COLUMNS[index].2;
    let right = |text: &str| Cell::from(Line::from(text.to_owned()).right_aligned());
    let mut head = vec![Cell::from("flow")];
    let mut widths = vec![Constraint::Min(18)];
    for (index, (title, width, _)) in FLOW_COLUMNS.iter().enumerate().filter(|(index, _)| shown(*index)) {
        head.push(if index == 9 { Cell::from(*title) } else { right(title) });
        widths.push(Constraint::Length(*width));
    }
    let rows = view.flows.iter().map(|flow| {
        let cells = flow_cells(flow).into_iter().enumerate().filter(|(index, _)| shown(*index)).map(|(_, cell)| cell);
        Row::new(std::iter::once(Cell::from(flow.name.replace("->", "→"))).chain(cells))
    });
    let table = Table::new(rows, widths).header(Row::new(head).style(faint())).block(block("Flows".to_owned()));
    frame.render_widget(table, area);
}

/// Parallel to [`FLOW_COLUMNS`].
fn flow_cells(flow: &FlowLine) -> [Cell<'static>; 10] {
    let bad: u64 = Verdict::ALL.iter().filter(|verdict| verdict.is_bad()).map(|verdict| flow.count(*verdict)).sum();
    let unknown = flow.count(Verdict::Unknown);
    let lag = |lag: Option<std::time::Duration>| lag.map_or_else(|| "-".to_owned(), brief);
    let oldest = if flow.overdue == 0 { "-".to_owned() } else { brief(flow.oldest) };
    [
        number(flow.count(Verdict::Match), Color::Green),
        number(flow.in_flight, Color::Cyan),
        number(bad, Color::Red),
        number(unknown, Color::Yellow),
        number(flow.open, Color::Red),
        number(flow.overdue, Color::Yellow),
        Cell::from(Line::from(oldest).right_aligned()),
        Cell::from(Line::from(lag(flow.lag_p50)).right_aligned()),
        Cell::from(Line::from(lag(flow.lag_p99)).right_aligned()),
        coverage(flow.coverage),
    ]
}

/// A count in its colour; zero is faint.
fn number(count: u64, color: Color) -> Cell<'static> {
    let style = if count == 0 { faint() } else { Style::new().fg(color) };
    Cell::from(Line::from(Span::styled(count.to_string(), style)).right_aligned())
}

fn coverage(ratio: f64) -> Cell<'static> {
    const STEPS: usize = 8;
    let full = (ratio * STEPS as f64).floor().clamp(0.0, STEPS as f64) as usize;
    let color = if ratio >= 0.99 { Color::Green } else { Color::Yellow };
    let percent = (ratio * 100.0).floor();
    Cell::from(Line::from(vec![
        Span::styled("█".repeat(full), Style::new().fg(color)),
        Span::styled("░".repeat(STEPS - full), faint()),
        Span::raw(format!(" {percent:>3}%")),
    ]))
}

/// What samples say, with 95 % intervals.
fn draw_samples(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let wide = area.width >= WIDE;
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let said = |share: Option<Share>| right(share.map_or_else(|| "-".to_owned(), |share| share.to_string()));
    let row = |flow: &FlowLine, samples: &Samples| {
        let name = Cell::from(flow.name.replace("->", "→"));
        let every_key = right(samples.every_key.map_or_else(|| "-".to_owned(), spoken));
        let (agreement, extra) = (said(samples.agreement), said(samples.extra));
        if wide {
            Row::new([name, agreement, said(samples.completeness), extra, every_key])
        } else {
            Row::new([name, agreement, every_key])
        }
    };
    let rows = view.flows.iter().filter_map(|flow| Some(row(flow, flow.samples.as_ref()?)));
    let titles: &[&str] = if wide { &["agree", "there", "extra", "every key in"] } else { &["agree", "every key in"] };
    let head = titles.iter().map(|title| right((*title).to_owned()));
    let head = Row::new(std::iter::once(Cell::from("flow")).chain(head)).style(faint());
    // "100.00 % (100.00 to 100.00)"
    let share = Constraint::Length(27);
    let widths = match wide {
        true => vec![Constraint::Min(18), share, share, share, Constraint::Length(12)],
        false => vec![Constraint::Min(18), share, Constraint::Length(12)],
    };
    frame.render_widget(Table::new(rows, widths).header(head).block(block("Samples".to_owned())), area);
}

fn draw_incidents(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let is_open = |incident: &&IncidentLine| incident.state != "resolved";
    let title = format!("Incidents: {} open", view.incidents.iter().filter(is_open).count());
    let wide = area.width >= WIDE;
    let mail = if wide { Constraint::Fill(1) } else { Constraint::Length(8) };
    let widths = [Constraint::Length(5), Constraint::Length(14), Constraint::Fill(1), mail];
    let rows = view.incidents.iter().take(INCIDENTS).map(|incident| incident_row(incident, wide));
    frame.render_widget(Table::new(rows, widths).block(block(title)), area);
}

fn incident_row(incident: &IncidentLine, wide: bool) -> Row<'static> {
    let color = match (incident.state, incident.severity) {
        ("resolved", _) => Color::Green,
        (_, "page") => Color::Red,
        _ => Color::Yellow,
    };
    let mail = match incident.mails.last() {
        Some(file) if wide => format!("mail {file}"),
        _ => format!("mails: {}", incident.mails.len()),
    };
    Row::new([
        Cell::from(clock_face(incident.at)),
        Cell::from(Span::styled(format!("{} ({})", incident.state, incident.severity), Style::new().fg(color))),
        Cell::from(incident.matter.clone()),
        Cell::from(Span::styled(mail, faint())),
    ])
}

fn draw_discrepancies(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let title = match view.open {
        0 => "Open discrepancies: none".to_owned(),
        open => format!("Open discrepancies: {open}"),
    };
    let wide = area.width >= WIDE;
    let rows = view.discrepancies.iter().map(|line| discrepancy_row(line, wide));
    let head = Row::new(["verdict", "key", if wide { "flow" } else { "entity" }, "for", "difference: owner ≠ target"]);
    let widths = [
        Constraint::Length(10),
        Constraint::Length(11),
        Constraint::Length(if wide { 28 } else { 9 }),
        Constraint::Length(12),
        Constraint::Min(20),
    ];
    frame.render_widget(Table::new(rows, widths).header(head.style(faint())).block(block(title)), area);
}

fn discrepancy_row(line: &DiscrepancyLine, wide: bool) -> Row<'static> {
    let likely = if line.likely { "?" } else { "" };
    let flow = match wide {
        true => line.flow.replace("->", "→"),
        false => line.flow.split(':').next().unwrap_or_default().to_owned(),
    };
    Row::new([
        Cell::from(Span::styled(format!("{}{likely}", line.verdict), verdict_style(line.verdict))),
        Cell::from(line.key.clone()),
        Cell::from(flow),
        Cell::from(spoken(line.lasted)),
        Cell::from(difference(line)),
    ])
}

fn difference(line: &DiscrepancyLine) -> Line<'static> {
    if let Some(absence) = absence(line) {
        return Line::from(absence);
    }
    let mut spans = Vec::new();
    for (name, owner, target) in &line.fields {
        if !spans.is_empty() {
            spans.push(Span::raw("   "));
        }
        spans.push(Span::styled(format!("{name} "), faint()));
        spans.push(Span::styled(owner.clone(), Style::new().fg(Color::Green)));
        spans.push(Span::raw(" ≠ "));
        spans.push(Span::styled(target.clone(), Style::new().fg(Color::Red)));
    }
    Line::from(spans)
}

/// What is wrong when it is not a field's value.
fn absence(line: &DiscrepancyLine) -> Option<String> {
    let (owner, target) = line.flow.split_once(": ")?.1.split_once(" -> ")?;
    match line.verdict {
        Verdict::Missing => Some(format!("{owner} has it, {target} does not")),
        Verdict::Extra => Some(format!("{target} has it, {owner} does not")),
        Verdict::Duplicate => Some(format!("{target} has it more than once")),
        _ => None,
    }
}

fn draw_plants(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let found = view.plants.iter().filter(|plant| matches!(plant.fate, Fate::Found { .. })).count();
    let disturbed = view.plants.iter().filter(|plant| matches!(plant.fate, Fate::Disturbance { .. })).count();
    let title = format!("Just broken: {}, found {found}", view.plants.len() - disturbed);
    let rows = view.plants.iter().map(plant_row);
    let head = Row::new(["at", "fault", "where", "key", "what Plumbline saw"]);
    let widths = [
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(21),
        Constraint::Length(11),
        Constraint::Min(20),
    ];
    frame.render_widget(Table::new(rows, widths).header(head.style(faint())).block(block(title)), area);
}

fn plant_row(plant: &PlantLine) -> Row<'static> {
    Row::new([
        Cell::from(clock_face(plant.at)),
        Cell::from(plant.fault.clone()),
        Cell::from(plant.place.clone()),
        Cell::from(plant.key.clone()),
        Cell::from(fate(&plant.fate)),
    ])
}

fn fate(fate: &Fate) -> Line<'static> {
    match fate {
        Fate::Young => Line::from(Span::styled("… too early to tell", faint())),
        Fate::Over => Line::from(Span::styled("over too soon to tell", faint())),
        Fate::Unseen => Line::from("✘ not reported".fg(Color::Red)),
        Fate::Disturbance { left: Some(left) } => {
            Line::from(format!("for another {}", spoken(*left)).fg(Color::Yellow))
        }
        Fate::Disturbance { left: None } => Line::from(Span::styled("over", faint())),
        Fate::Found { verdict, after } => Line::from(vec![
            "✔ ".fg(Color::Green),
            Span::styled(verdict.as_str(), verdict_style(*verdict)),
            Span::raw(format!(" after {}", spoken(*after))),
        ]),
    }
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let health = &view.health;
    let engine = match health.engine_up {
        true => "ledger up".fg(Color::Green),
        false => "ledger down".fg(Color::Red).bold(),
    };
    let waiting = if health.spool_bytes == 0 { String::new() } else { format!(" ({})", spoken(health.spool_oldest)) };
    let mut parts = vec![" ".into(), engine, format!(" · spool {}{waiting}", size(health.spool_bytes)).into()];
    for (count, what) in [
        (health.engine_restarts, "engine restarts"),
        (health.failed_runs, "failed runs"),
        (health.store_errors, "store errors"),
        (health.throttles, "throttled reads"),
    ] {
        if count > 0 {
            parts.push(format!(" · {count} {what}").fg(Color::Yellow));
        }
    }
    let [left, right] = Layout::horizontal([Constraint::Min(0), Constraint::Length(8)]).areas(area);
    frame.render_widget(Line::from(parts), left);
    frame.render_widget(Paragraph::new("q quits ".dim()).right_aligned(), right);
}

fn block(title: String) -> Block<'static> {
    Block::bordered().border_style(faint()).title(format!(" {title} ").bold())
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn verdict_style(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Match => Color::Green,
        Verdict::InFlight => Color::Cyan,
        Verdict::Stale | Verdict::Unknown => Color::Yellow,
        Verdict::Missing | Verdict::Extra => Color::Magenta,
        Verdict::Duplicate => Color::Blue,
        Verdict::Mismatch | Verdict::Conflict | Verdict::Invalid => Color::Red,
    };
    Style::new().fg(color).add_modifier(Modifier::BOLD)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::sample::sample;
    use super::*;

    fn picture(width: u16, height: u16, view: &View) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
        terminal.draw(|frame| draw(frame, view)).expect("a picture");
        terminal.backend().to_string()
    }

    #[test]
    fn a_wide_screen_shows_everything() {
        insta::assert_snapshot!(picture(124, 31, &sample()), @r#"
        " plumbline  demo company, seed 7                               checks/s  ▂▅▆█▄ ▂▆                            00:37 of 01:00 "
        "┌ Flows ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐"
        "│flow                                   match in flight   bad unknown open overdue   oldest  lag p50  lag p99 coverage     │"
        "│product: erp → warehouse                 123         2     2       0    2       2    3.4 s    0.6 s    8.4 s ████████ 100%│"
        "│order: erp → warehouse                    45         1     1       0    1       1    1.7 s    0.6 s    8.4 s ████████ 100%│"
        "│stock: warehouse → erp                    98         0     0       0    0       0        -        -        - ██████░░  87%│"
        "└──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘"
        "┌ Samples ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐"
        "│flow                                            agree                       there                       extra every key in│"
        "│product: erp → warehouse     98.32 % (95.43 to 99.99)  100.00 % (98.10 to 100.00)                           -   5 min 10 s│"
        "└──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘"
        "┌ Incidents: 1 open ───────────────────────────────────────────────────────────────────────────────────────────────────────┐"
        "│00:33 open (page)    product: erp to warehouse breaks its promise       mail /tmp/demo/mails/0001.eml                     │"
        "└──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘"
        "┌ Open discrepancies: 3 ───────────────────────────────────────────────────────────────────────────────────────────────────┐"
        "│verdict    key         flow                         for          difference: owner ≠ target                               │"
        "│missing    1004        order: erp → warehouse       5.4 s        erp has it, warehouse does not                           │"
        "│mismatch?  SKU-0007    product: erp → warehouse     9.9 s        price 12.99 EUR ≠ 13.06 EUR   title oak Mallet, no. 7 ≠ o│"
        "│stale      SKU-0003    product: erp → warehouse     14 s         price 10.49 EUR ≠ 9.99 EUR                               │"
        "│                                                                                                                          │"
        "│                                                                                                                          │"
        "└──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘"
        "┌ Just broken: 5, found 2 ─────────────────────────────────────────────────────────────────────────────────────────────────┐"
        "│at      fault      where                 key         what Plumbline saw                                                   │"
        "│00:35   drop       stock in warehouse    SKU-0001    … too early to tell                                                  │"
        "│00:31   delay      order in warehouse    1004        ✔ missing after 5.4 s                                                │"
        "│00:27   corrupt    product in warehouse  SKU-0007    ✔ mismatch after 6.2 s                                               │"
        "│00:20   duplicate  order in warehouse    1001        ✘ not reported                                                       │"
        "└──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘"
        " cost · erp 11.1 calls/s, 20310 records · warehouse 10.0 calls/s, 18004 records                                             "
        " ledger up · spool 3.4 KiB (0.0 s)                                                                                  q quits "
        "#);
    }

    #[test]
    fn a_narrow_screen_shows_what_matters() {
        insta::assert_snapshot!(picture(80, 31, &sample()), @r#"
        " plumbline  demo company, seed 7                                 00:37 of 01:00 "
        "┌ Flows ───────────────────────────────────────────────────────────────────────┐"
        "│flow                            in flight   bad open overdue  lag p50  lag p99│"
        "│product: erp → warehouse                2     2    2       2    0.6 s    8.4 s│"
        "│order: erp → warehouse                  1     1    1       1    0.6 s    8.4 s│"
        "│stock: warehouse → erp                  0     0    0       0        -        -│"
        "└──────────────────────────────────────────────────────────────────────────────┘"
        "┌ Samples ─────────────────────────────────────────────────────────────────────┐"
        "│flow                                                        agree every key in│"
        "│product: erp → warehouse                 98.32 % (95.43 to 99.99)   5 min 10 s│"
        "└──────────────────────────────────────────────────────────────────────────────┘"
        "┌ Incidents: 1 open ───────────────────────────────────────────────────────────┐"
        "│00:33 open (page)    product: erp to warehouse breaks its promise     mails: 1│"
        "└──────────────────────────────────────────────────────────────────────────────┘"
        "┌ Open discrepancies: 3 ───────────────────────────────────────────────────────┐"
        "│verdict    key         entity    for          difference: owner ≠ target      │"
        "│missing    1004        order     5.4 s        erp has it, warehouse does not  │"
        "│mismatch?  SKU-0007    product   9.9 s        price 12.99 EUR ≠ 13.06 EUR   ti│"
        "│stale      SKU-0003    product   14 s         price 10.49 EUR ≠ 9.99 EUR      │"
        "│                                                                              │"
        "│                                                                              │"
        "└──────────────────────────────────────────────────────────────────────────────┘"
        "┌ Just broken: 5, found 2 ─────────────────────────────────────────────────────┐"
        "│at      fault      where                 key         what Plumbline saw       │"
        "│00:35   drop       stock in warehouse    SKU-0001    … too early to tell      │"
        "│00:31   delay      order in warehouse    1004        ✔ missing after 5.4 s    │"
        "│00:27   corrupt    product in warehouse  SKU-0007    ✔ mismatch after 6.2 s   │"
        "│00:20   duplicate  order in warehouse    1001        ✘ not reported           │"
        "└──────────────────────────────────────────────────────────────────────────────┘"
        " cost · erp 11.1 calls/s, 20310 records · warehouse 10.0 calls/s, 18004 records "
        " ledger up · spool 3.4 KiB (0.0 s)                                      q quits "
        "#);
    }

    #[test]
    fn no_size_and_no_emptiness_breaks_it() {
        for (width, height) in [(1, 1), (20, 5), (79, 12), (300, 100)] {
            picture(width, height, &sample());
            picture(width, height, &View::default());
        }
    }
}
