//! Medians, ratios, the table and the chart.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use serde::Serialize;

use crate::attempts::{STOLEN_MAX, Stolen};
use crate::outcome::Latency;

/// One run of one workload on one filesystem.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Sample {
    /// Name of the workload.
    pub workload: &'static str,
    /// Of the value.
    pub unit: &'static str,
    /// Name of the filesystem.
    pub peer: &'static str,
    /// From 0 on.
    pub round: u32,
    /// More is better.
    pub value: f64,
    /// What else the run tells, by name with its unit.
    pub others: BTreeMap<&'static str, f64>,
    /// Of each kind of call that is measured by itself.
    pub latencies: Vec<Latency>,
    /// Blocks that were stored already, of those written in this run, of volfs.
    pub duplicates: Option<u64>,
    /// What the host took away meanwhile.
    pub stolen: Stolen,
    /// Runs of which this one was disturbed least, this one among them.
    pub attempts: u32,
}

/// Everything that was measured, and where.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Lines about the machine and the programs.
    pub machine: BTreeMap<&'static str, String>,
    /// Name of the filesystem that ratios refer to.
    pub reference: &'static str,
    /// Names of all, in order.
    pub peers: Vec<&'static str>,
    /// Name of the filesystem that has to reach the bars.
    pub judged: &'static str,
    /// The least ratios that it is meant to reach, by workload.
    pub bars: BTreeMap<&'static str, f64>,
    /// In the order in which they were taken.
    pub samples: Vec<Sample>,
}

/// The one in the middle, or halfway between the two that are.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(below)?, *values.get(above)?))
}

/// Cells of a table: medians of the rounds' percentiles, and the longest of all.
fn times(rounds: &[&Latency]) -> String {
    let middle = |us: fn(&Latency) -> Option<f64>| {
        median(rounds.iter().filter_map(|latency| us(latency)).collect())
    };
    let longest = rounds.iter().filter_map(|latency| latency.max_us);
    let cells = [
        middle(|latency| latency.p50_us),
        middle(|latency| latency.p99_us),
        middle(|latency| latency.p999_us),
        longest.reduce(f64::max),
    ];
    let cells = cells.map(|cell| cell.map_or("-".to_owned(), |us| format!("{us:.0}")));
    cells.join(" | ")
}

impl Report {
    fn of<'a>(&'a self, workload: &'a str, peer: &'a str) -> impl Iterator<Item = &'a Sample> {
        let samples = self.samples.iter();
        samples.filter(move |sample| sample.workload == workload && sample.peer == peer)
    }

    /// Ratios to the reference in the same round: median, least and most.
    fn ratio(&self, workload: &str, peer: &str) -> Option<(f64, f64, f64)> {
        let ratios: Vec<f64> = self
            .of(workload, peer)
            .filter_map(|sample| {
                let mut others = self.of(workload, self.reference);
                let other = others.find(|other| other.round == sample.round)?;
                Some(sample.value / other.value)
            })
            .collect();
        let least = ratios.iter().copied().reduce(f64::min)?;
        let most = ratios.iter().copied().reduce(f64::max)?;
        Some((median(ratios)?, least, most))
    }

    /// How many runs were repeated, and what that has left.
    pub fn disturbed(&self) -> String {
        let samples = self.samples.iter();
        let repeated = samples.clone().filter(|sample| sample.attempts > 1);
        let left = samples.filter(|sample| sample.stolen.part > STOLEN_MAX);
        format!(
            "Of {} runs {} were repeated, as the host had taken away more than {:.0} % of the \
             processors' time; of {} it did each time.\n",
            self.samples.len(),
            repeated.count(),
            100.0 * STOLEN_MAX,
            left.count()
        )
    }

    /// Workloads with their units, in order.
    fn workloads(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        for sample in &self.samples {
            if !found.contains(&(sample.workload, sample.unit)) {
                found.push((sample.workload, sample.unit));
            }
        }
        found
    }

    /// Latencies of one kind of call of a workload on a filesystem, a round each.
    fn rounds<'a>(
        &'a self,
        workload: &'a str,
        peer: &'a str,
        calls: &'a str,
    ) -> impl Iterator<Item = &'a Latency> {
        let latencies = self.of(workload, peer).flat_map(|one| &one.latencies);
        latencies.filter(move |latency| latency.calls == calls)
    }

    /// Kinds of calls of a workload, in order.
    fn calls(&self, workload: &str) -> Vec<&'static str> {
        let mut found = Vec::new();
        for sample in self.samples.iter().filter(|one| one.workload == workload) {
            for latency in &sample.latencies {
                if !found.contains(&latency.calls) {
                    found.push(latency.calls);
                }
            }
        }
        found
    }

    /// The bar of a workload, marked when it is missed.
    fn bar(&self, workload: &str) -> String {
        let Some(bar) = self.bars.get(workload) else {
            return "-".to_owned();
        };
        match self.ratio(workload, self.judged) {
            Some((middle, ..)) if middle < *bar => format!("**{bar:.2} missed**"),
            _ => format!("{bar:.2}"),
        }
    }

    /// The table in Markdown: the reference in its unit, the bar, the others as ratios to the
    /// reference, medians of those of each round with the spread; and what volfs had stored
    /// already.
    pub fn table(&self) -> String {
        let others = || self.peers.iter().filter(|peer| **peer != self.reference);
        let mut text = format!("| workload | {} | bar |", self.reference);
        others().for_each(|peer| text.push_str(&format!(" {peer} |")));
        text.push_str(" duplicates |\n|---|---:|---:|");
        others().for_each(|_| text.push_str("---:|"));
        text.push_str("---:|\n");
        for (workload, unit) in self.workloads() {
            let values = self.of(workload, self.reference).map(|sample| sample.value);
            let reference = median(values.collect()).unwrap_or(f64::NAN);
            let bar = self.bar(workload);
            text.push_str(&format!("| {workload} | {reference:.0} {unit} | {bar} |"));
            for peer in others() {
                match self.ratio(workload, peer) {
                    Some((middle, least, most)) => {
                        text.push_str(&format!(" {middle:.2} ({least:.2}-{most:.2}) |"));
                    }
                    None => text.push_str(" - |"),
                }
            }
            let of_workload = self.samples.iter().filter(|one| one.workload == workload);
            let duplicates: u64 = of_workload.filter_map(|one| one.duplicates).sum();
            text.push_str(&format!(" {duplicates} |\n"));
        }
        text
    }

    /// Latencies in Markdown, in microseconds: medians of the rounds, and the longest of all.
    pub fn latencies(&self) -> String {
        let mut text = "| workload | calls | filesystem | p50 us | p99 us | p99.9 us | max us |\n\
                        |---|---|---|---:|---:|---:|---:|\n"
            .to_owned();
        for (workload, _) in self.workloads() {
            for calls in self.calls(workload) {
                for peer in &self.peers {
                    let rounds: Vec<_> = self.rounds(workload, peer, calls).collect();
                    if !rounds.is_empty() {
                        let times = times(&rounds);
                        text.push_str(&format!("| {workload} | {calls} | {peer} | {times} |\n"));
                    }
                }
            }
        }
        text
    }

    /// A chart of the ratios as SVG.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn chart(&self, path: &Path) -> Result<()> {
        let workloads = self.workloads();
        let peers: Vec<_> = self
            .peers
            .iter()
            .filter(|peer| **peer != self.reference)
            .collect();
        let rows = workloads.len() * (peers.len() + 1);
        let drawing = SVGBackend::new(path, (1000, 60 + 16 * rows as u32)).into_drawing_area();
        let failed = |error: &dyn std::fmt::Display| anyhow!("the chart: {error}");
        drawing.fill(&WHITE).map_err(|error| failed(&error))?;
        let most = workloads.iter().flat_map(|(workload, _)| {
            peers
                .iter()
                .filter_map(|peer| Some(self.ratio(workload, peer)?.0))
        });
        let most = most.fold(1.2, f64::max);
        let mut chart = ChartBuilder::on(&drawing)
            .caption(format!("ratio to {}", self.reference), ("sans-serif", 18))
            .x_label_area_size(24)
            .margin_right(80)
            .margin_left(330)
            .build_cartesian_2d(0.0..most * 1.05, 0..rows as i32)
            .map_err(|error| failed(&error))?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().disable_y_axis();
        mesh.draw().map_err(|error| failed(&error))?;
        for (index, (workload, _)) in workloads.iter().enumerate() {
            let top = (rows - index * (peers.len() + 1)) as i32;
            for (number, peer) in peers.iter().enumerate() {
                let Some((ratio, ..)) = self.ratio(workload, peer) else {
                    continue;
                };
                let y = top - 1 - number as i32;
                let color = Palette99::pick(number).to_rgba();
                let bar = Rectangle::new([(0.0, y), (ratio, y + 1)], color.filled());
                let font = ("sans-serif", 11);
                let label = format!("{ratio:.2} {peer}");
                let label = Text::new(label, (ratio + most * 0.005, y + 1), font);
                chart.draw_series([bar]).map_err(|error| failed(&error))?;
                chart.draw_series([label]).map_err(|error| failed(&error))?;
            }
            let at = chart.backend_coord(&(0.0, top));
            let name = Text::new(*workload, (10, at.1 + 2), ("sans-serif", 13));
            drawing.draw(&name).map_err(|error| failed(&error))?;
        }
        drawing.present().map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(peer: &'static str, round: u32, value: f64) -> Sample {
        Sample {
            workload: "append",
            unit: "IOPS",
            peer,
            round,
            value,
            others: BTreeMap::new(),
            latencies: vec![Latency {
                calls: "sync",
                p50_us: Some(1000.0 / value),
                max_us: Some(5000.0 / value),
                ..Latency::default()
            }],
            duplicates: (peer == "volfs").then_some(3),
            stolen: Stolen::default(),
            attempts: 1,
        }
    }

    fn report() -> Report {
        let rounds = [(100.0, 50.0), (200.0, 150.0), (100.0, 200.0)];
        let samples = (0..).zip(rounds).flat_map(|(round, (ext4, volfs))| {
            [sample("ext4", round, ext4), sample("volfs", round, volfs)]
        });
        Report {
            machine: BTreeMap::new(),
            reference: "ext4",
            peers: vec!["ext4", "volfs"],
            judged: "volfs",
            bars: [("append", 0.8)].into(),
            samples: samples.collect(),
        }
    }

    /// A ratio is taken within a round, and of these the one in the middle counts.
    #[test]
    fn ratios_are_those_of_rounds() {
        let table = report().table();
        let line = table.lines().last().unwrap();
        assert_eq!(
            line,
            "| append | 100 IOPS | **0.80 missed** | 0.75 (0.50-2.00) | 9 |"
        );
    }

    #[test]
    fn the_middle_of_two_is_halfway() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![4.0, 1.0, 9.0]), Some(4.0));
        assert_eq!(median(vec![4.0, 1.0, 9.0, 5.0]), Some(4.5));
    }

    /// A run that was repeated and came undisturbed in the end is none that stayed disturbed.
    #[test]
    fn disturbed_runs_are_counted() {
        let mut report = report();
        let stolen = |part| Stolen { ms: 0.0, part };
        (report.samples[0].attempts, report.samples[0].stolen) = (2, stolen(0.01));
        (report.samples[1].attempts, report.samples[1].stolen) = (3, stolen(0.4));
        let told = report.disturbed();
        assert!(told.starts_with("Of 6 runs 2 were repeated"), "{told}");
        assert!(told.contains("more than 2 % of"), "{told}");
        assert!(told.ends_with("of 1 it did each time.\n"), "{told}");
    }

    /// A bar that is reached is not marked, and a workload need not have one.
    #[test]
    fn bars_are_marked_when_they_are_missed() {
        let mut report = report();
        report.bars = [("append", 0.75)].into();
        assert_eq!(report.bar("append"), "0.75");
        assert_eq!(report.bar("another"), "-");
    }

    /// Percentiles are those of the round in the middle, and the longest call is that of all.
    #[test]
    fn latencies_have_a_line_for_each_kind_of_call() {
        let latencies = report().latencies();
        let line = latencies.lines().last().unwrap();
        assert_eq!(line, "| append | sync | volfs | 7 | - | - | 100 |");
    }

    /// The chart has a bar for each ratio, and names what it shows.
    #[test]
    fn the_chart_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        report().chart(&path).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        for part in ["append", "0.75 volfs", "ratio to ext4"] {
            assert!(svg.contains(part), "{part} is missing in {svg}");
        }
    }
}
