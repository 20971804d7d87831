//! `muster login` and `muster context`.

use std::path::PathBuf;
use std::time::Duration;

use muster_client::{ClusterContext, Contexts, KeyDigest, MACHINE, MasterAddresses, Mismatch, fetch_ca};

use super::put;
use crate::args::{ConnectionArgs, ContextArgs, ContextCommand, LoginArgs};
use crate::contexts::{Target, change, exchange_ca, get, remember, showing, trust_of};
use crate::failure::CommandFailure;
use crate::master::MasterClient;

/// How long a master may take to show its CA.
const PATIENCE: Duration = Duration::from_secs(5);

/// Remembers a cluster, once a master of it has answered under its CA.
pub(super) async fn login(connection: &ConnectionArgs, args: LoginArgs) -> Result<(), CommandFailure> {
    // The arguments see to it that there are addresses.
    let Some(masters) = args.masters.filter(|_| !args.refresh) else { return refresh(connection).await };
    let masters: MasterAddresses = masters.parse().map_err(|_| CommandFailure::Masters(masters.clone()))?;
    let is_unnamed = args.ca_digest.is_none() && connection.ca().is_none();
    let ca = match (args.ca_digest, connection.ca()) {
        (Some(digest), _) => ca_of(&masters, digest).await?,
        (None, Some(file)) if file.as_os_str() == MACHINE => MACHINE.to_owned(),
        (None, Some(file)) => std::fs::read_to_string(&file)
            .map_err(|error| CommandFailure::Usage(format!("--ca {}: {error}", file.display())))?,
        (None, None) => MACHINE.to_owned(),
    };
    let certificate = connection.client_certificate()?.map(|(certificate, key)| {
        let absolute = |path: PathBuf| std::path::absolute(&path).map_err(|error| CommandFailure::File(path, error));
        Ok::<_, CommandFailure>((absolute(certificate)?, absolute(key)?))
    });
    let certificate = certificate.transpose()?;
    let trust = trust_of(&ca)?;
    let trust = match certificate.clone() {
        Some((certificate, key)) => showing(&trust, certificate, key)?,
        None => trust,
    };
    let token = connection.token()?;
    let remembered = token.as_ref().map(|token| token.expose().to_owned());
    let client = MasterClient::new(&Target { masters: masters.to_string(), trust: Some(trust), token })?;
    let cluster = match client.ask(client.client().get_cluster()).await {
        Err(CommandFailure::Mismatch(address, Mismatch::Untrusted(error))) if is_unnamed => {
            let text = "name the CA of the cluster, with --ca-digest (the log of a master shows it) or --ca";
            return Err(CommandFailure::Usage(format!("no CA of this machine knows {address} ({error}): {text}")));
        }
        cluster => cluster?,
    };

    let given = connection.context();
    let (is_given, name) = (given.is_some(), given.unwrap_or(cluster.name));
    if !is_context_name(&name) {
        let text =
            format!("{name:?} is no name of a context: letters, digits, '-', '_' and '.' make one; give --context");
        return Err(CommandFailure::Usage(text));
    }
    let (client_cert, client_key) = certificate.unzip();
    let context = ClusterContext { masters: masters.to_string(), ca, token: remembered, client_cert, client_key };
    let path = change(|contexts| remember(contexts, name.clone(), is_given, context))?;
    put(&format!("commands go to {name} at {masters} now ({})\n", path.display()))
}

/// Learns the CAs of a context's cluster anew, over a connection that its present ones vouch for.
async fn refresh(connection: &ConnectionArgs) -> Result<(), CommandFailure> {
    let contexts = Contexts::load()?;
    let name = connection.context().or(contexts.current.clone());
    let name = name.ok_or_else(|| CommandFailure::Usage("no context is chosen; give --context".to_owned()))?;
    let context = get(&contexts, &name)?;
    if context.ca == MACHINE {
        return put(&format!("{name} is trusted by the CAs of this machine, which are read at each command\n"));
    }
    let target = Target { masters: context.masters.clone(), trust: Some(trust_of(&context.ca)?), token: None };
    let client = MasterClient::new(&target)?;
    let ca = client.ask(client.client().trust_bundle()).await?;
    // What makes no sense would lock this person out.
    trust_of(&ca)?;
    let before = context.ca.clone();
    if ca == before {
        return put(&format!("the CAs of {name} are the same as before\n"));
    }
    let path = change(|contexts| exchange_ca(contexts, &name, &before, ca))?;
    put(&format!("the CAs of {name} have changed, and are remembered ({})\n", path.display()))
}

/// Names are shown as they are, so they hold nothing that a terminal would obey.
fn is_context_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=100).contains(&name.len()) && name.bytes().all(is_plain)
}

/// The CA with a digest, from the first of the masters that shows it.
async fn ca_of(masters: &MasterAddresses, digest: KeyDigest) -> Result<String, CommandFailure> {
    let mut failures = Vec::new();
    for address in masters.addresses() {
        match fetch_ca(address, digest, PATIENCE).await {
            Ok(ca) => return Ok(ca),
            Err(error) => {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                failures.push(format!("{address}: {error}{}", source.unwrap_or_default()));
            }
        }
    }
    Err(CommandFailure::State(format!("no master shows the CA of this digest\n  {}", failures.join("\n  "))))
}

/// Shows, chooses or forgets contexts.
pub(super) fn context(args: ContextArgs) -> Result<(), CommandFailure> {
    let changed = match args.command {
        ContextCommand::List => {
            let contexts = Contexts::load()?;
            for (name, context) in &contexts.contexts {
                let mark = if contexts.current.as_ref() == Some(name) { '*' } else { ' ' };
                put(&format!("{mark} {name}  {}\n", context.masters))?;
            }
            return Ok(());
        }
        ContextCommand::Use { name } => change(|contexts| {
            get(contexts, &name)?;
            contexts.current = Some(name);
            Ok(())
        }),
        ContextCommand::Forget { name } => change(|contexts| {
            get(contexts, &name)?;
            contexts.contexts.remove(&name);
            contexts.current = contexts.current.take().filter(|current| *current != name);
            Ok(())
        }),
    };
    changed.map(drop)
}
