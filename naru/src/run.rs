//! The client commands: which call of `client` each word makes. No behaviour of its own.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use client::failure::Failure;
use client::http::Api;
use client::out::{Answer, Out, Table, print};
use client::profile::{Home, Profile, file};
use client::recording::{self, Export, Format};
use client::ssh::Wanted;
use client::{audit, can, events, login, ls, play, proxy_connect, resources, sessions, ssh_config, token, watch, when};
use wire::api::{EventQuery, NewToken, OpenSession, Purpose, SessionQuery, TokenKind, exit};

use crate::cli::{self, Cli, Command};

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
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "naru", &mut script);
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
        Command::Logout { all } => {
            let profiles = if all { place.home.profiles() } else { vec![place.profile.clone()] };
            login::logout(&profiles).await?
        }
        Command::Status => login::status(&place.profile, &place.api()?).await?,
        Command::Ls => ls::nodes(&place.api()?).await?,
        Command::Can { what: cli::Can::Ssh { place: there, as_user } } => can::ssh(&place.api()?, &there, as_user).await?,
        Command::Ssh(words) => return ssh(place, words).await,
        Command::Sessions { what } => return of_sessions(place, what).await,
        Command::Play(words) => return play_it(place, &words).await,
        Command::Recording { what } => return of_recordings(place, what).await,
        Command::Events { what } => return events::run(&place.api()?, &event_query(what)?, place.out).await,
        Command::Apply { file, dry_run } => crate::apply::run(place.api(), &file, dry_run).await?,
        Command::Get { kind, name } => resources::get(&place.api()?, &kind, name.as_deref()).await?,
        Command::Delete { kind, name } => resources::delete(&place.api()?, &kind, &name).await?,
        Command::Token { what: cli::Token::Create { kind: cli::Kind::Node, node, labels, ttl, replace } } => {
            let ttl_s = when::duration(&ttl)?.as_secs();
            let new = NewToken { kind: TokenKind::Node, node, labels: labels.into_iter().collect(), ttl_s, replace };
            token::create(&place.api()?, &new).await?
        }
        Command::LoginLink { what: cli::LoginLink::Create { user } } => token::link(&place.api()?, user).await?,
        // They were run before.
        Command::ProxyConnect { .. } | Command::Config { .. } | Command::Audit { .. } | Command::Completion { .. } | Command::Server(_) => {
            return Ok(exit::OK);
        }
    };
    place.out.answer(&answer)
}

async fn sign_in(place: &Place, words: &cli::Login) -> Result<Answer, Failure> {
    let other = [(words.device, "--device"), (words.no_browser, "--no-browser")].into_iter().find_map(|(said, flag)| said.then_some(flag));
    // A link given in the place of the URL is what people paste.
    let url_is_link = words.url.as_deref().is_some_and(|url| url.contains("/sign-in#"));
    let (url, link) =
        if url_is_link && words.link.is_none() { (None, words.url.as_deref()) } else { (words.url.as_deref(), words.link.as_deref()) };
    let link = link.ok_or_else(|| login::needs_a_link(other))?;
    login::with_link(&place.home, &place.profile, url, link, place.explicit).await
}

async fn ssh(place: &Place, words: cli::Ssh) -> Result<u8, Failure> {
    let transport = |failure: Failure| Failure { exit: exit::TRANSPORT, ..failure };
    let (login, node) = can::destination(&words.place).map_err(transport)?;
    let command = (!words.command.is_empty()).then(|| words.command.join(" "));
    let env =
        std::env::vars().filter(|(key, _)| key == "LANG" || key == "COLORTERM" || key == "TZ" || key.starts_with("LC_")).take(64).collect();
    let local_user = ["USER", "LOGNAME"].into_iter().find_map(|key| std::env::var(key).ok());
    let open = OpenSession { node, login, local_user, command, pty: None, env };
    let terminal = if words.no_terminal { Some(false) } else { words.terminal.then_some(true) };
    let api = place.api().map_err(transport)?;
    client::ssh::run(&api, Wanted { open, terminal }).await
}

async fn of_sessions(place: &Place, what: cli::Sessions) -> Result<u8, Failure> {
    let api = place.api()?;
    let answer = match what {
        cli::Sessions::Ls { live, user, node, since, limit, after } => {
            let since = since.map(|since| when::point(&since, when::now())).transpose()?;
            sessions::ls(&api, &SessionQuery { live: live.then_some(true), user, node, since, limit, after }).await?
        }
        cli::Sessions::Show { id } => sessions::show(&api, id).await?,
        cli::Sessions::Kill { id, reason } => sessions::kill(&api, id, &reason).await?,
        cli::Sessions::Watch { id, raw } => {
            let from = recording::open(&api, id, Purpose::Watch, true).await?;
            return watch::run(from, place.out, raw).await;
        }
    };
    place.out.answer(&answer)
}

async fn play_it(place: &Place, words: &cli::Play) -> Result<u8, Failure> {
    let at = words.at.as_deref().map(when::place).transpose()?.unwrap_or(0);
    let idle = words.idle_limit.as_deref().map(when::place).transpose()?.unwrap_or(u64::MAX);
    let here = Path::new(&words.what);
    let as_text = words.text || !place.out.terminal || !std::io::IsTerminal::is_terminal(&std::io::stdin());
    let mut tape = if words.what.contains('/') || here.extension().is_some_and(|end| end == "cast") {
        play::Tape::open(here)?
    } else {
        let id = words.what.parse().map_err(|e| Failure::usage(format!("{e}")).hint("naru sessions ls"))?;
        let api = place.api()?;
        if words.verify {
            let found = recording::verify(&api, id).await?;
            if found.exit != exit::OK {
                return place.out.answer(&found);
            }
            client::out::say("verified: the recording is as it was written");
        }
        let purpose = if as_text { Purpose::Text } else { Purpose::Play };
        play::Tape::fetch(recording::open(&api, id, purpose, false).await?, &place.profile.path("cache")).await?
    };
    if !as_text {
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
    let api = place.api()?;
    match what {
        cli::Recording::Verify { id } => place.out.answer(&recording::verify(&api, id).await?),
        cli::Recording::Export { id, format, output, raw } => {
            let format = match format {
                cli::Format::Cast => Format::Cast,
                cli::Format::Txt => Format::Txt,
            };
            match output {
                None => recording::export(&api, id, format, raw, &mut std::io::stdout()).await?,
                Some(path) => {
                    let file = std::fs::File::create(&path).map_err(|e| Failure::file("written", &path, &e))?;
                    recording::export(&api, id, format, raw, &mut std::io::BufWriter::new(file)).await?;
                }
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

fn config(place: &Place, what: cli::Config) -> Result<u8, Failure> {
    let cli::Config::Ssh { write, known_hosts } = what;
    place.profile.facts()?;
    if known_hosts {
        print(place.profile.read(file::KNOWN_HOSTS)?.as_bytes())?;
        return Ok(exit::OK);
    }
    let naru = std::env::current_exe().map_err(|e| Failure::file("found", Path::new("naru"), &e))?;
    let block = ssh_config::block(&ssh_config::Block { naru: &naru, home: place.home.single(), profile: &place.profile })?;
    let Some(path) = write else {
        print(block.as_bytes())?;
        return Ok(exit::OK);
    };
    ssh_config::write(&path, &block)?;
    let said = serde_json::json!({ "written": path, "host": "*.naru" });
    let _ = std::io::stdout().flush();
    place.out.answer(&Answer::new(&said, Table::line(format!("written to {}: try ssh NODE.naru", path.display()))))
}
