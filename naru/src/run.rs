//! The client commands: which call of `client` each word makes. No behaviour of its own.

use std::path::Path;

use access::words::SessionId;
use clap::CommandFactory as _;
use client::failure::Failure;
use client::http::Api;
use client::out::{Answer, Out, Table, print};
use client::profile::{Home, Profile, file};
use client::recording::{self, Export, Format};
use client::secrets::{self, Which};
use client::ssh::{Asking, Wanted};
use client::{audit, doctor, events, extend, login, ls, play, proxy_connect, resources, sessions, ssh_config, token, watch, when};
use wire::api::{EventQuery, NewToken, OpenSession, Purpose, SessionQuery, TokenKind, exit};

use crate::cli::{self, Cli, Command};

mod policy;

/// Seconds that a join token lives, where nobody says otherwise.
const TOKEN_S: u64 = 3600;

/// Everything that a command needs to know besides its words.
struct Place {
    home: Home,
    profile: Profile,
    explicit: bool,
    out: Out,
}

impl Place {
    fn api(&self) -> Result<Api, Failure> {
        Api::of(&self.profile)
    }
}

/// Runs a client command; answers the exit code.
pub(crate) fn run(cli: Cli, out: Out) -> Result<u8, Failure> {
    // Completion must work before anybody has signed in, and without a home.
    if let Command::Completion { shell } = cli.command {
        if cli.json {
            return Err(Failure::usage("a completion script cannot be JSON").hint("leave --json out"));
        }
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut shown(&Cli::command()), "naru", &mut script);
        return print(&script).map(|()| exit::OK);
    }
    let home = match &cli.home {
        Some(dir) => Home::under(&std::path::absolute(dir).map_err(|e| Failure::file("found", dir, &e))?),
        None => Home::find(|name| std::env::var_os(name))?,
    };
    let profile = home.profile(cli.profile.as_deref())?;
    let place = Place { home, profile, explicit: cli.profile.is_some(), out };
    match cli.command {
        Command::ProxyConnect { fdpass, host } => proxy_connect::run(&place.profile, &host, fdpass).map(|()| exit::OK),
        Command::Config { what } => config(&place, what),
        Command::Audit { what: cli::Audit::Verify { key, checkpoint, dir } } => {
            let dir = dir.ok_or_else(|| Failure::usage("which state directory?").hint("naru audit verify [--key KEY] DIR"))?;
            out.answer(&audit::run(&dir, key.as_deref(), checkpoint.as_deref())?)
        }
        command => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::new("NARU-C016", exit::FAILED, "the program cannot start its loop").because(e))?
            .block_on(online(&place, command)),
    }
}

/// The commands that speak to a server.
async fn online(place: &Place, command: Command) -> Result<u8, Failure> {
    let answer = match command {
        Command::Login(words) => sign_in(place, &words).await?,
        Command::Logout { all, every_profile } => {
            let profiles = if every_profile { place.home.profiles() } else { vec![place.profile.clone()] };
            login::logout(&profiles, all).await?
        }
        Command::Doctor { what: Some(cli::Doctor::Oidc { name }), .. } => doctor::oidc(&place.api()?, name).await?,
        Command::Doctor { what: None, state, operations, ssh_config } => {
            let own = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".ssh/config"));
            let ssh_config = ssh_config.or_else(own);
            let Place { home, profile, .. } = place;
            doctor::install(&doctor::Look { home, profile, naru: this_program()?, ssh_config, state, operations }).await
        }
        Command::Status { all: true } => login::all(&place.home, &place.profile.name),
        Command::Status { all: false } => login::status(&place.profile, &place.api()?).await?,
        Command::Audit { what: cli::Audit::Key } => audit::key(&place.api()?).await?,
        Command::Ls => ls::nodes(&place.api()?).await?,
        Command::Can { what } => policy::can(&place.api()?, what).await?,
        Command::Request { what } => return policy::request(&place.api()?, what, place.out).await,
        Command::Access { what } => policy::access(&place.api()?, what).await?,
        Command::Lock { what } => policy::lock(&place.api()?, what).await?,
        Command::Extend { session, by } => {
            let user = place.profile.facts()?.name;
            extend::run(&place.api()?, session.as_deref(), &user, by).await?
        }
        Command::Ssh(words) => return ssh(place, words).await,
        Command::Sessions { what } => return of_sessions(place, what).await,
        Command::Play(words) => return play_it(place, &words).await,
        Command::Recording { what } => return of_recordings(place, what).await,
        Command::Events { what } => return events::run(&place.api()?, &event_query(what)?, place.out).await,
        Command::Apply(words) => {
            let cli::Apply { files, dry_run, allow_self_lockout, managed_by } = words;
            crate::apply::run(place.api(), &files.file, resources::How { dry_run, allow_self_lockout, managed_by }).await?
        }
        Command::Diff(cli::Diff { files, look }) => crate::apply::diff(place.api(), &files.file, policy::look(&look, false)).await?,
        Command::Policy { what: cli::Policy::Test { files, policy } } => crate::policy_test::run(place.api(), &files.file, &policy).await?,
        Command::Get(words) => get(&place.api()?, words).await?,
        Command::Delete(cli::Delete { kind, name, if_revision: None }) if client::nodes::is_kind(&kind) => {
            client::nodes::delete(&place.api()?, &name).await?
        }
        Command::Delete(cli::Delete { kind, name, if_revision }) => resources::delete(&place.api()?, &kind, &name, if_revision).await?,
        Command::Token { what: cli::Token::Create(words) } => token::create(&place.api()?, &new_token(words)?).await?,
        Command::Token { what: cli::Token::Access { ttl } } => {
            let ttl_s = ttl.as_deref().map(when::duration).transpose()?.map(|ttl| ttl.as_secs());
            token::access(&place.api()?, ttl_s).await?
        }
        Command::Token { what: cli::Token::Ls } => secrets::ls(&place.api()?, Which::Tokens).await?,
        Command::Token { what: cli::Token::Rm { id } } => secrets::rm(&place.api()?, Which::Tokens, &id).await?,
        Command::LoginLink { what: cli::LoginLink::Create { user, ttl } } => {
            let ttl_s = ttl.as_deref().map(when::duration).transpose()?.map(|ttl| ttl.as_secs());
            token::link(&place.api()?, user, ttl_s).await?
        }
        Command::LoginLink { what: cli::LoginLink::Ls } => secrets::ls(&place.api()?, Which::Links).await?,
        Command::LoginLink { what: cli::LoginLink::Rm { id } } => secrets::rm(&place.api()?, Which::Links, &id).await?,
        // They were run before.
        Command::ProxyConnect { .. }
        | Command::Config { .. }
        | Command::Audit { what: cli::Audit::Verify { .. } }
        | Command::Completion { .. }
        | Command::Server(_) => {
            return Ok(exit::OK);
        }
    };
    place.out.answer(&answer)
}

async fn get(api: &Api, words: cli::Get) -> Result<Answer, Failure> {
    let cli::Get { kind, name, output } = words;
    let form = output.map(|form| match form {
        cli::Form::Yaml => resources::Form::Yaml,
        cli::Form::Json => resources::Form::Json,
    });
    match (kind.as_str(), &name, form) {
        ("all", None, _) => resources::all(api, form.unwrap_or(resources::Form::Yaml)).await,
        ("all", Some(_), _) => Err(Failure::usage("all has no names").hint("naru get KIND NAME")),
        // Who asks for no form wants to see how nodes are; the declared part of them is a resource.
        (kind, name, None) if client::nodes::is_kind(kind) => client::nodes::get(api, name.as_deref()).await,
        (kind, name, form) => resources::get(api, kind, name.as_deref(), form).await,
    }
}

fn new_token(words: cli::Create) -> Result<NewToken, Failure> {
    let cli::Create { from, uses, kind: cli::Kind::Node, node, labels, ttl, replace } = words;
    let ttl_s = ttl.as_deref().map(when::duration).transpose()?.map(|ttl| ttl.as_secs());
    Ok(match from {
        Some(from) => NewToken {
            kind: TokenKind::Node,
            node: String::new(),
            labels: Default::default(),
            ttl_s: ttl_s.unwrap_or(0),
            replace: false,
            from: Some(from),
            uses,
        },
        None => NewToken {
            kind: TokenKind::Node,
            node,
            labels: labels.into_iter().collect(),
            ttl_s: ttl_s.unwrap_or(TOKEN_S),
            replace,
            from: None,
            uses: None,
        },
    })
}

async fn sign_in(place: &Place, words: &cli::Login) -> Result<Answer, Failure> {
    let keep = login::Place { home: &place.home, profile: &place.profile, explicit: place.explicit };
    // A link given in the place of the URL is what people paste.
    let pasted = words.url.as_deref().filter(|url| url.contains("/sign-in#") && words.bot.is_none());
    if let Some(link) = words.link.as_deref().or(pasted) {
        let url = words.url.as_deref().filter(|_| words.link.is_some());
        return login::with_link(keep, url, link).await;
    }
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (url, ca_pin) = (words.url.clone().or_else(|| var("NARU_URL")), words.ca_pin.clone().or_else(|| var("NARU_CA_PIN")));
    let (url, ca_pin) = (url.as_deref(), ca_pin.as_deref());
    if let Some(bot) = &words.bot {
        let token = login::token(words.token_file.as_deref(), var)?;
        return login::as_bot(keep, url, ca_pin, bot, token).await;
    }
    let way = match (words.device, words.no_browser) {
        (true, _) => login::Way::Device,
        (_, true) => login::Way::NoBrowser,
        _ => login::Way::Best,
    };
    let asked = login::Asked { url, ca_pin, connector: words.connector.as_ref(), way, again: words.again };
    login::with_provider(keep, asked).await
}

async fn ssh(place: &Place, words: cli::Ssh) -> Result<u8, Failure> {
    let forwards = [("-L", &words.local), ("-R", &words.remote), ("-D", &words.dynamic)];
    if let Some((flag, _)) = forwards.into_iter().find(|(_, asked)| !asked.is_empty()) {
        return Err(Failure::usage(format!("port forwards ({flag}) are not built yet")).hint(format!("leave {flag} out")));
    }
    let transport = |failure: Failure| Failure { exit: exit::TRANSPORT, ..failure };
    let (login, node) = client::can::destination(&words.place).map_err(transport)?;
    let command = (!words.command.is_empty()).then(|| words.command.join(" "));
    let env =
        std::env::vars().filter(|(key, _)| key == "LANG" || key == "COLORTERM" || key == "TZ" || key.starts_with("LC_")).take(64).collect();
    let local_user = ["USER", "LOGNAME"].into_iter().find_map(|key| std::env::var(key).ok());
    let open = OpenSession { node, login, local_user, command, pty: None, env, reason: words.reason };
    let asking = Asking { wait: words.wait, length: words.request_for };
    let terminal = if words.no_terminal { Some(false) } else { words.terminal.then_some(true) };
    let api = place.api().map_err(transport)?;
    client::ssh::run(&api, Wanted { open, terminal, asking }).await
}

async fn of_sessions(place: &Place, what: cli::Sessions) -> Result<u8, Failure> {
    let api = place.api()?;
    let answer = match what {
        cli::Sessions::Ls { live, user, node, since, limit, after } => {
            let since = since.map(|since| when::point(&since, when::now())).transpose()?;
            let width = place.out.terminal.then(|| client::terminal::size().cols);
            sessions::ls(&api, &SessionQuery { live: live.then_some(true), user, node, since, limit, after, watch: false }, width).await?
        }
        cli::Sessions::Show { id } => sessions::show(&api, sessions::find(&api, &id).await?).await?,
        cli::Sessions::Kill { id, reason } => sessions::kill(&api, sessions::find(&api, &id).await?, &reason).await?,
        cli::Sessions::Watch { id, raw } => {
            let id = sessions::find(&api, &id).await?;
            let watched = async { watch::run(recording::open(&api, id, Purpose::Watch, true).await?, place.out, raw).await };
            return explained(&api, id, watched).await;
        }
    };
    place.out.answer(&answer)
}

/// Runs what reads a recording; where that fails, asks whether it is the recording's fault.
async fn explained<T>(api: &Api, id: SessionId, reads: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match reads.await {
        Ok(read) => Ok(read),
        Err(failure) => Err(recording::explain(api, id, failure).await),
    }
}

async fn play_it(place: &Place, words: &cli::Play) -> Result<u8, Failure> {
    let here = Path::new(&words.what);
    if words.what.contains('/') || here.extension().is_some_and(|end| end == "cast") {
        return play_tape(place, words, play::Tape::open(here)?).await;
    }
    let api = place.api()?;
    let id = sessions::find(&api, &words.what).await?;
    if words.verify {
        let found = recording::verify(&api, id).await?;
        if found.exit != exit::OK {
            return place.out.answer(&found);
        }
        client::out::say("verified: the recording is as it was written");
    }
    let purpose = if as_text(place, words) { Purpose::Text } else { Purpose::Play };
    let played = async {
        let tape = play::Tape::fetch(recording::open(&api, id, purpose, false).await?, &place.profile.path("cache")).await?;
        play_tape(place, words, tape).await
    };
    explained(&api, id, played).await
}

fn as_text(place: &Place, words: &cli::Play) -> bool {
    words.text || place.out.json || !place.out.terminal || !std::io::IsTerminal::is_terminal(&std::io::stdin())
}

async fn play_tape(place: &Place, words: &cli::Play, mut tape: play::Tape) -> Result<u8, Failure> {
    let at = words.at.as_deref().map(when::place).transpose()?.unwrap_or(0);
    let idle = words.idle_limit.as_deref().map(when::place).transpose()?.unwrap_or(u64::MAX);
    if place.out.json {
        return play::json_lines(&mut tape, at).map(|()| exit::OK);
    }
    if !as_text(place, words) {
        return play::screen(tape, play::Wish { speed: words.speed, idle, at, raw: words.raw }).await;
    }
    let mut export = Export::new(Format::Txt, words.raw).starting_at(at);
    let mut shown = Vec::new();
    while let Some(line) = tape.line()? {
        export.line(&line, &mut shown)?;
        if shown.len() > 64 * 1024 {
            print(&shown)?;
            shown.clear();
        }
    }
    export.end(&mut shown)?;
    print(&shown).map(|()| exit::OK)
}

async fn of_recordings(place: &Place, what: cli::Recording) -> Result<u8, Failure> {
    match what {
        cli::Recording::Verify { id } => {
            let api = place.api()?;
            let id = sessions::find(&api, &id).await?;
            place.out.answer(&recording::verify(&api, id).await?)
        }
        cli::Recording::Export { id, format, output, raw } => {
            let (name, format) = match format {
                cli::Format::Cast => ("cast", Format::Cast),
                cli::Format::Txt => ("txt", Format::Txt),
            };
            if place.out.json && output.is_none() && format == Format::Txt {
                return Err(Failure::usage("text on stdout cannot be JSON").hint("naru play ID --json, --format cast, or -o FILE"));
            }
            let api = place.api()?;
            let id = sessions::find(&api, &id).await?;
            let Some(path) = output else {
                // A cast is JSON already, one document a line.
                explained(&api, id, recording::export(&api, id, format, raw, &mut std::io::stdout())).await?;
                return Ok(exit::OK);
            };
            let file = std::fs::File::create(&path).map_err(|e| Failure::file("written", &path, &e))?;
            explained(&api, id, recording::export(&api, id, format, raw, &mut std::io::BufWriter::new(file))).await?;
            if place.out.json {
                let said = serde_json::json!({ "written": path, "session": id, "format": name });
                return place.out.answer(&Answer::new(&said, Table::default()));
            }
            Ok(exit::OK)
        }
    }
}

fn event_query(what: cli::Events) -> Result<EventQuery, Failure> {
    let (follow, text, limit, filter) = match what {
        cli::Events::Tail { follow, lines, filter } => (follow, None, Some(lines), filter),
        cli::Events::Search { text, limit, filter } => (false, text, limit, filter),
    };
    filter.kind.as_deref().map(events::check_type).transpose()?;
    let point = |text: Option<String>| text.map(|text| when::point(&text, when::now())).transpose();
    Ok(EventQuery {
        follow,
        after: filter.after,
        kind: filter.kind,
        user: filter.user,
        node: filter.node,
        session: filter.session,
        since: point(filter.since)?,
        until: point(filter.until)?,
        text,
        limit,
    })
}

/// Where this program is, for others to run.
fn this_program() -> Result<std::path::PathBuf, Failure> {
    std::env::current_exe().map_err(|e| Failure::file("found", Path::new("naru"), &e))
}

fn config(place: &Place, what: cli::Config) -> Result<u8, Failure> {
    let cli::Config::Ssh { write, known_hosts } = what;
    place.profile.facts()?;
    if known_hosts {
        let text = place.profile.read(file::KNOWN_HOSTS)?;
        return text_or_json(place, &text, &serde_json::json!({ "known_hosts": text }));
    }
    let naru = this_program()?;
    let block = ssh_config::block(&ssh_config::Block { naru: &naru, home: place.home.single(), profile: &place.profile })?;
    let Some(path) = write else {
        return text_or_json(place, &block, &serde_json::json!({ "text": block, "written": null, "host": "*.naru" }));
    };
    ssh_config::write(&path, &block)?;
    let said = serde_json::json!({ "text": block, "written": path, "host": "*.naru" });
    place.out.answer(&Answer::new(&said, Table::line(format!("written to {}: try ssh NODE.naru", path.display()))))
}

/// A text for another program, byte for byte, or the document that has it.
fn text_or_json(place: &Place, text: &str, document: &serde_json::Value) -> Result<u8, Failure> {
    if place.out.json {
        return place.out.answer(&Answer::new(document, Table::default()));
    }
    print(text.as_bytes()).map(|()| exit::OK)
}

/// The words without those that are hidden: a completion offers nothing that help does not show.
fn shown(command: &clap::Command) -> clap::Command {
    // clap wants names that live as long as the program, which ends when the script is printed.
    let name: &'static str = Box::leak(command.get_name().to_owned().into_boxed_str());
    let mut all = clap::Command::new(name);
    if let Some(about) = command.get_about() {
        all = all.about(about.clone());
    }
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned();
    all.args(args).subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_offers_nothing_that_is_hidden() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut shown(&Cli::command()), "naru", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("sessions") && script.contains("known-hosts") && script.contains("profile"), "{shell}");
            assert!(!script.contains("zygote") && !script.contains("proxy-connect") && !script.contains("--home"), "{shell}");
        }
    }
}
