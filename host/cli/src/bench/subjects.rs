//! The strategies of a comparison: as they are written on the command line, loaded once to see what they are.

use std::collections::BTreeMap;
use std::path::Path;

use gc_lab::bench::model::Subject;
use gc_lab::bench::protocol::Player;
use gc_node::{Hold, StrategySource};
use gc_plugin::{Completeness, Loader, LoaderConfig};

use crate::Usage;

/// A strategy that takes part.
#[derive(Debug, Clone)]
pub(crate) struct Entrant {
    pub(crate) subject: Subject,
    pub(crate) player: Player,
    /// It says of itself that it frees nothing: no heap is small enough for it.
    pub(crate) frees_nothing: bool,
}

/// `NAME|PATH[?option=value&option=value]`
fn parse(text: &str) -> Result<(String, BTreeMap<String, String>), Usage> {
    let Some((source, options)) = text.rsplit_once('?') else {
        return Ok((text.to_owned(), BTreeMap::new()));
    };
    let options = options.split('&').filter(|option| !option.is_empty()).map(crate::config::setting);
    let options = options
        .collect::<Result<BTreeMap<_, _>, String>>()
        .map_err(|what| Usage(format!("in {text}: {what}")))?;
    Ok((source.to_owned(), options))
}

/// Loads the strategies and gives each a name of its own. Compiled code is in the cache afterwards, for either kind of run.
pub(crate) fn load(texts: &[String], cache: Option<&Path>) -> anyhow::Result<Vec<Entrant>> {
    let loader = |fuel| {
        let config = LoaderConfig { cache_dir: cache.map(Into::into), fuel, ..LoaderConfig::default() };
        Loader::new(config).or_else(|_| Loader::new(LoaderConfig { fuel, ..LoaderConfig::default() }))
    };
    let loaders = [loader(false)?, loader(true)?];
    let mut entrants: Vec<Entrant> = Vec::new();
    for text in texts {
        let (source, options) = parse(text)?;
        let player = Player { subject: entrants.len(), source, options };
        let mut entrant = look(player, &loaders)?;
        let mut label = entrant.subject.name.clone();
        if !entrant.subject.options.is_empty() {
            let options: Vec<String> =
                entrant.subject.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            label = format!("{label}?{}", options.join("&"));
        }
        entrant.subject.label = unique(&label, entrants.iter().map(|other| other.subject.label.as_str()));
        entrants.push(entrant);
    }
    Ok(entrants)
}

fn look(player: Player, loaders: &[Loader; 2]) -> anyhow::Result<Entrant> {
    let options = player.options.clone().into_iter().collect();
    if player.source == Hold::NAME {
        let subject = Subject {
            name: Hold::NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            digest: "native".into(),
            options,
            ..Subject::default()
        };
        return Ok(Entrant { subject, player, frees_nothing: true });
    }
    let source = StrategySource::from(player.source.as_str());
    let bytes = gc_node::read(&source)?;
    let loaded = loaders[0].load(bytes.clone(), &source.label())?;
    loaders[1].load(bytes, &source.label())?;
    gc_node::typed(loaded.description(), &player.options)?;
    let description = loaded.description();
    let subject = Subject {
        name: description.name.clone(),
        version: description.version.clone(),
        digest: loaded.digest().to_owned(),
        options,
        ..Subject::default()
    };
    let frees_nothing = matches!(description.completeness, Completeness::Nothing);
    Ok(Entrant { subject, player, frees_nothing })
}

/// The same with a number behind it, if it is taken.
pub(crate) fn unique<'t>(label: &str, taken: impl Iterator<Item = &'t str> + Clone) -> String {
    let free = |candidate: &str| !taken.clone().any(|other| other == candidate);
    if free(label) {
        return label.to_owned();
    }
    (2..).map(|number| format!("{label}-{number}")).find(|candidate| free(candidate)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_the_strategy() {
        let (source, options) = parse("./a?b.wasm?depth=3&eager=true").unwrap();
        assert_eq!((source.as_str(), options["depth"].as_str(), options.len()), ("./a?b.wasm", "3", 2));
        assert_eq!(parse("tracing").unwrap().0, "tracing");
        assert!(parse("tracing?depth").unwrap_err().to_string().contains("OPTION=VALUE"));
    }

    #[test]
    fn the_same_twice_has_two_names() {
        assert_eq!(unique("a", ["b"].into_iter()), "a");
        assert_eq!(unique("a", ["a", "a-2"].into_iter()), "a-3");
    }
}
