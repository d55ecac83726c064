//! The picture in mails: the share of good, minute by minute, against what was promised.

use std::io::Cursor;

use chrono_tz::Tz;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use crate::incident::Incident;
use crate::model::Moment;

/// Twice the width at which a mail shows it, so that it is sharp on fine screens.
const WIDTH: u32 = 1184;
const HEIGHT: u32 = 440;
const FONT: &str = "chart";
const LETTERS: &[u8] = include_bytes!("../../alerts/font/chart.ttf");

/// A chart shows at least so many minutes.
const LEAST_MINUTES: usize = 15;

const INK: RGBColor = RGBColor(0x5c, 0x64, 0x70);
const RULE: RGBColor = RGBColor(0xe8, 0xea, 0xed);
const LINE: RGBColor = RGBColor(0x1a, 0x56, 0xb0);
const PROMISE: RGBColor = RGBColor(0xb3, 0x26, 0x1e);

/// The chart could not be drawn. A mail goes without it.
#[derive(Debug, thiserror::Error)]
#[error("the chart cannot be drawn: {0}")]
pub struct ChartError(String);

fn failed(error: impl std::fmt::Display) -> ChartError {
    ChartError(error.to_string())
}

/// The incident's series as a PNG; `None` when there is nothing to draw. Times are shown in `zone`.
///
/// # Errors
/// When it cannot be drawn.
pub fn png(incident: &Incident, zone: Tz) -> Result<Option<Vec<u8>>, ChartError> {
    let series = &incident.evidence.series;
    let objective = incident.broken.iter().map(|slo| slo.objective).max_by(f64::total_cmp);
    if !incident.evidence.has_chart() {
        return Ok(None);
    }
    let series = known(series);
    let mut pixels = vec![0xff; (WIDTH * HEIGHT * 3) as usize];
    {
        // An error means that it was registered before: nothing else has this name.
        drop(register_font(FONT, FontStyle::Normal, LETTERS));
        let area = BitMapBackend::with_buffer(&mut pixels, (WIDTH, HEIGHT)).into_drawing_area();
        draw(&area, series, objective, zone)?;
        area.present().map_err(failed)?;
    }
    encode(&pixels).map(Some)
}

/// Without the time before anything was known, as far as that is more than what makes a readable scale.
fn known(series: &[(Moment, Option<f64>)]) -> &[(Moment, Option<f64>)] {
    let first = series.iter().position(|(_, sli)| sli.is_some()).unwrap_or(0);
    &series[first.min(series.len().saturating_sub(LEAST_MINUTES))..]
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

fn draw(area: &Area<'_>, series: &[(Moment, Option<f64>)], objective: Option<f64>, zone: Tz) -> Result<(), ChartError> {
    area.fill(&WHITE).map_err(failed)?;
    let hours = |moment: Moment| moment.micros() as f64 / 3600e6;
    let (Some((first, _)), Some((last, _))) = (series.first(), series.last()) else { return Ok(()) };
    let low = lowest(series, objective);
    let text = |size: u32, colour: &RGBColor| (FONT, size).into_font().color(colour);
    let mut chart = ChartBuilder::on(area)
        .margin(20)
        .margin_right(40)
        .x_label_area_size(46)
        .y_label_area_size(110)
        .build_cartesian_2d(hours(*first)..hours(*last), low..1.0)
        .map_err(failed)?;
    let clock = |hour: &f64| {
        let moment = Moment::from_micros((hour * 3600e6).round() as i64);
        moment.to_utc().with_timezone(&zone).format("%H:%M").to_string()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(8)
        .y_labels(5)
        .axis_style(RULE)
        .bold_line_style(RULE)
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&clock)
        .y_label_formatter(&|share| format!("{:.1} %", share * 100.0))
        .label_style(text(24, &INK))
        .draw()
        .map_err(failed)?;
    if let Some(objective) = objective {
        let ends = [(hours(*first), objective), (hours(*last), objective)];
        chart.draw_series(LineSeries::new(ends, PROMISE.stroke_width(2))).map_err(failed)?;
        // Under the line, at its left end.
        let label = EmptyElement::at(ends[0])
            + Text::new(format!("promised {:.2} %", objective * 100.0), (8, 8), text(22, &PROMISE));
        chart.draw_series([label]).map_err(failed)?;
    }
    for piece in series.split(|(_, sli)| sli.is_none()) {
        let points: Vec<(f64, f64)> =
            piece.iter().filter_map(|(moment, sli)| Some((hours(*moment), (*sli)?))).collect();
        // No line goes through a minute whose neighbours are not known.
        if let [alone] = points[..] {
            chart.draw_series([Circle::new(alone, 5, LINE.filled())]).map_err(failed)?;
        }
        chart.draw_series(LineSeries::new(points, LINE.stroke_width(4))).map_err(failed)?;
    }
    Ok(())
}

/// Where the scale begins: below everything, with room, and never so close that noise looks like a mountain.
fn lowest(series: &[(Moment, Option<f64>)], objective: Option<f64>) -> f64 {
    let values = series.iter().filter_map(|(_, sli)| *sli).chain(objective);
    let low = values.fold(1.0_f64, f64::min);
    (low - (1.0 - low) * 0.15).clamp(0.0, 0.99)
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, ChartError> {
    let mut file = Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::view::example_incident;

    #[test]
    fn a_chart_is_a_small_picture_and_the_same_for_the_same_figures() {
        let incident = example_incident();
        let chart = png(&incident, Tz::UTC).unwrap().unwrap();
        assert_eq!(chart[..8], *b"\x89PNG\r\n\x1a\n");
        assert!(chart.len() < 60_000, "{} bytes are many for a mail", chart.len());
        assert_eq!(png(&incident, Tz::UTC).unwrap().unwrap(), chart);
        assert_ne!(png(&incident, Tz::Asia__Tokyo).unwrap().unwrap(), chart, "times are shown in the zone");
    }

    #[test]
    fn time_before_anything_was_known_is_not_shown() {
        let at = |minute: i64| Moment::from_micros(minute * 60_000_000);
        let check = |unknown: i64, expect: usize| {
            let series: Vec<_> = (0..180).map(|minute| (at(minute), (minute >= unknown).then_some(0.9))).collect();
            assert_eq!(known(&series).len(), expect, "{unknown} minutes unknown");
        };
        check(0, 180);
        check(100, 80);
        check(178, LEAST_MINUTES);
    }

    #[test]
    fn one_known_minute_is_drawn_and_none_is_not() {
        let mut incident = example_incident();
        let series = &mut incident.evidence.series;
        let known = series.len() - 3;
        series.iter_mut().enumerate().for_each(|(number, (_, sli))| *sli = (number == known).then_some(0.5));
        let alone = png(&incident, Tz::UTC).unwrap().unwrap();
        incident.evidence.series[known].1 = Some(0.9);
        assert_ne!(png(&incident, Tz::UTC).unwrap().unwrap(), alone, "the minute can be seen");
        incident.evidence.series[known].1 = None;
        assert_eq!(png(&incident, Tz::UTC).unwrap(), None);
        incident.evidence.series.truncate(1);
        incident.evidence.series[0].1 = Some(0.5);
        assert_eq!(png(&incident, Tz::UTC).unwrap(), None, "one minute is no scale");
    }
}
