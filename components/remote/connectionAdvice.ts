import { AsyncResource } from "node:async_hooks";
import * as pulumi from "@pulumi/pulumi";
import { defaultTrialSec, hostLabel } from "./host.ts";
import type { Host } from "./host.ts";
import { printable } from "./printable.ts";

/**
 * A hook that explains the provider's message when it cannot log in. These errors are Go's, and contain neither the
 * host nor what to do.
 *
 * @param ifRefused what a refused login means for this script, added to the advice
 *
 * Needs Pulumi 3.244 or later, whose engine passes every error of a provider to error hooks.
 */
export function connectionAdvice(name: string, host: Host, ifRefused?: string): pulumi.ErrorHook {
  const explain = inProgram(
    async (error: string, { connection, managedBy, report }: Host, meant?: string) => {
      const [address, port, user] = await Promise.all(
        [connection.host, connection.port ?? 22, connection.user ?? "root"].map(valueOf),
      );
      const label = await valueOf(hostLabel({ ...host, connection }));
      const advice = adviceFor(error, label, Number(port), String(user), address as string, managedBy);
      // The engine ends the program as soon as the hook returns.
      const sentence = advice && (meant ? `${advice}; ${meant}` : advice);
      report?.addFailure(sentence ?? sentenceOf(error));
      if (sentence) await pulumi.log.error(sentence);
    },
  );
  let firstAt: number | undefined;
  return new pulumi.ErrorHook(`${name}-advice`, async ({ errors, failedOperation, oldInputs }) => {
    const [error = "", ...earlier] = errors;
    firstAt ??= Date.now();
    if (
      isWorthAnotherTry(error, earlier.length, host) &&
      Date.now() - firstAt < patienceOf(host, ifRefused)
    ) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return true;
    }
    if (failedOperation === "delete") {
      // A secret as a whole, in two layers.
      const connection: unknown = await valueOf(oldInputs?.connection as pulumi.Input<unknown>);
      const used = pulumi.runtime.unwrapRpcSecret(connection) as Host["connection"];
      await explain(error, { ...host, connection: used }, removalsConnect);
    } else {
      await explain(error, host, ifRefused);
    }
    return false; // the provider has tried again already
  });
}

/** A removal runs with what is in the state. */
const removalsConnect =
  "a removal uses the address, keys and host key of the last 'pulumi up': if the settings have changed since, run 'pulumi up' first";

/**
 * Milliseconds. The host rolls back a change on trial after a certain time. A script that is to confirm one gives up
 * before that; any other continues until the old configuration is back.
 */
function patienceOf({ trialSec = defaultTrialSec }: Host, ifRefused: string | undefined): number {
  return (ifRefused === undefined ? trialSec + 30 : trialSec - 20) * 1000;
}

function isWorthAnotherTry(error: string, tries: number, host: Host): boolean {
  // A change that the host had rolled back is active again: the next try is the new login that confirms it.
  if (endedWith(error, exitStatus.confirmAgain)) return tries === 0;
  if (endedWith(error, exitStatus.tunnelRestarts)) return true;
  // A tunnel that restarts cuts every connection through it. Scripts converge, so they can run again.
  return (
    host.throughTunnel !== undefined &&
    (isUnreachable(error) || /exited without exit status|\bEOF\b/.test(ofProvider(error)))
  );
}

/** The exit statuses after which a retry makes sense; shell/lib/lib.sh explains each. */
export const exitStatus = { confirmAgain: 75, tunnelRestarts: 76 };

/** The sentence with which a script has ended. Without one, what the provider says first. */
function sentenceOf(error: string): string {
  const [, sentence] = /^error: (.*)$/m.exec(error) ?? [];
  return printable(sentence ?? error.split("\n", 1)[0]!, 1000);
}

/** In the provider's own words, which come before those of the script. */
function endedWith(error: string, status: number): boolean {
  return error.includes(`Process exited with status ${status}: running `);
}

/** A hook that repeats the warnings of a script, which are otherwise visible only while it runs. */
export function warningsOf(name: string, { report }: Pick<Host, "report"> = {}): pulumi.ResourceHook {
  const warn = inProgram((text: string) => pulumi.log.warn(text));
  return new pulumi.ResourceHook(`${name}-warnings`, async ({ newOutputs }) => {
    report?.addChange();
    const { stderr = "" } = (newOutputs ?? {}) as { stderr?: string };
    for (const [, text = ""] of stderr.matchAll(/^warning: (.*)$/gm)) await warn(printable(text, 1000));
  });
}

/** Pulumi calls hooks from outside the program, where a program of the Automation API finds no engine to log to. */
function inProgram<T extends unknown[]>(
  act: (...values: T) => Promise<void>,
): (...values: T) => Promise<void> {
  return AsyncResource.bind(act);
}

/** The value of an input, which is known when a command fails. */
function valueOf<T>(input: pulumi.Input<T>): Promise<T> {
  return new Promise((resolve) => pulumi.output(input).apply((value) => resolve(value as T)));
}

/** The message for an error of the provider's connection; undefined for any other error, which has its own message. */
export function adviceFor(
  error: string,
  host: string,
  port: number,
  user: string,
  address: string,
  managedBy?: string,
): string | undefined {
  const said = ofProvider(error);
  const correct =
    managedBy === undefined
      ? "correct hostKey"
      : `correct hostKey or, if the settings here have none, run 'pulumi up' with another revision in the stack '${managedBy}' first`;
  // What it finds before it dials names the host on the way, too: "proxy: ssh: no key found".
  const login = /\bproxy: (?!after )/.test(said) ? `the host on the way to ${host}` : host;
  const explained: [RegExp, string][] = [
    [
      /host key mismatch/,
      `${host} answers with a host key that differs from the settings or known_hosts; if the host was not reinstalled, this may be an attack: compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then ${correct}`,
    ],
    [
      /attempted methods \[none\]/,
      `there is nothing to log in to ${host} with as '${user}'; set privateKeyFile, privateKey or password of admin, or start an ssh-agent (SSH_AUTH_SOCK) and add the key with ssh-add`,
    ],
    [
      /unable to authenticate/,
      `${host} refuses the login of '${user}'; check the key or password of admin, and that '${user}' may log in there: 'ssh -p ${port} ${user}@${address}'`,
    ],
    [
      /Too many authentication failures/,
      `${host} ends the login of '${user}' after too many keys; the ssh-agent offers all that it has ('ssh-add -l'): remove some, or unset SSH_AUTH_SOCK and set privateKeyFile`,
    ],
    [
      /no common algorithm for host key/,
      `${host} has no host key of the type in the settings or known_hosts; set hostKey to one that it has, of type ed25519 or ecdsa`,
    ],
    [
      /no common algorithm/,
      `${host} and the provider have no algorithm in common; allow one of those that the provider offered in the host's sshd_config`,
    ],
    [
      /failed to parse host key/,
      `the hostKey of ${login} is not a public key; set it to the first two fields of /etc/ssh/ssh_host_ed25519_key.pub there`,
    ],
    [
      /passphrase protected/,
      `the private key for ${login} is encrypted; set its passphrase, or leave it out, and add it to your ssh-agent with ssh-add`,
    ],
    [
      /decryption password incorrect/,
      `the passphrase of the private key for ${login} is wrong; correct passphrase: 'ssh-keygen -y -f <key>' tests it`,
    ],
    [
      /not password protected|not an encrypted key/,
      `the private key for ${login} is not encrypted, and the provider then accepts no passphrase; leave out passphrase`,
    ],
    [
      /no key found|unsupported key type|unhandled (key type|elliptic curve)|openssh private key|malformed OpenSSH key|multi-key|unknown cipher/,
      `the provider cannot read the private key for ${login}; it must be the whole file, in OpenSSH's format: 'ssh-keygen -y -f <key>' shows whether ssh can read it`,
    ],
    [
      /dial unix/,
      `no ssh-agent answers for ${login}, and the provider then does not log in, even with a private key or a password; start it, or correct agentSocketPath or SSH_AUTH_SOCK`,
    ],
  ];
  const [, advice] = explained.find(([pattern]) => pattern.test(said)) ?? [];
  if (advice === undefined && isUnreachable(error)) {
    return `${host} cannot be reached on port ${port}; check that it is on, that the address and port are right, and that no firewall is in the way`;
  }
  return advice;
}

/** The provider's own words, without the command line and the output of a script, which follow them. */
function ofProvider(error: string): string {
  return error.split(': running "', 1)[0]!;
}

function isUnreachable(error: string): boolean {
  return /dial tcp|i\/o timeout|(?<!dial unix .*)connection refused|no route to host|connection reset|handshake failed: EOF|rejected: connect failed/i.test(
    ofProvider(error),
  );
}
