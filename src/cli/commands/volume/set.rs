//! `volfs volume set`.

use std::collections::BTreeMap;

use crate::base::VolumeName;
use crate::cli::exit::Outcome;
use crate::cli::{Context, args, output};
use crate::daemon::{By, SetVolume};

const AFTER_HELP: &str = "\
Settings:
  size=SIZE         what the data may take before compression and sharing, as 40G; size=none: no
                    limit. A program that goes beyond gets ENOSPC; df shows it as the size
  protected=yes|no  whether the volume must not be removed
  label.KEY=VALUE   a label; with nothing behind the = the label goes

They take effect at once, also while the volume is mounted.

Examples:
  volfs volume set pgdata size=40G
  volfs volume set pgdata protected=yes label.app=shop";

/// Change settings of a volume
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Name of the volume
    name: VolumeName,

    /// Settings; they are told below
    #[arg(required = true, value_name = "SETTING=VALUE", value_parser = setting)]
    settings: Vec<Setting>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Setting {
    Size(u64),
    Protected(bool),
    Label(String, Option<String>),
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let mut call = SetVolume {
            volume: self.name,
            limit: None,
            protected: None,
            labels: BTreeMap::new(),
        };
        for setting in self.settings {
            match setting {
                Setting::Size(bytes) => call.limit = Some(bytes),
                Setting::Protected(is_protected) => call.protected = Some(is_protected),
                Setting::Label(key, value) => {
                    call.labels.insert(key, value);
                }
            }
        }
        let volume = context.access.call(By::Anyone, &call)?;
        Ok(output::line(volume.name)?)
    }
}

fn setting(text: &str) -> Result<Setting, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("'{text}' is not SETTING=VALUE"))?;
    if let Some(key) = name.strip_prefix("label.") {
        if key.is_empty() {
            return Err(format!("'{text}' names no label"));
        }
        let value = (!value.is_empty()).then(|| value.to_owned());
        return Ok(Setting::Label(key.to_owned(), value));
    }
    match (name, value) {
        ("size", "none") => Ok(Setting::Size(0)),
        ("size", size) => match args::bytes(size)? {
            0 => Err("a size of 0 makes no sense; for no limit: size=none".to_owned()),
            bytes => Ok(Setting::Size(bytes)),
        },
        ("protected", "yes" | "true") => Ok(Setting::Protected(true)),
        ("protected", "no" | "false") => Ok(Setting::Protected(false)),
        ("protected", _) => Err(format!("protected={value}: yes or no")),
        _ => Err(format!(
            "there is no setting '{name}': size, protected or label.KEY"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every documented setting is read, and nothing else.
    #[test]
    fn settings_are_read_as_documented() {
        let label = |value: Option<&str>| Setting::Label("a".into(), value.map(Into::into));
        for (text, wanted) in [
            ("size=40G", Setting::Size(40 << 30)),
            ("size=none", Setting::Size(0)),
            ("protected=yes", Setting::Protected(true)),
            ("protected=false", Setting::Protected(false)),
            ("label.a=b=c", label(Some("b=c"))),
            ("label.a=", label(None)),
        ] {
            assert_eq!(setting(text).unwrap(), wanted, "{text}");
        }
        for bad in [
            "",
            "size",
            "size=",
            "size=0",
            "size=x",
            "protected=",
            "label.=x",
            "x=y",
        ] {
            assert!(setting(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
