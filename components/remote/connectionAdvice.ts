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
  const explain = inProgram(async (error: string) => {
    const { connection } = host;
    const [address, port, user] = await Promise.all(
      [connection.host, connection.port ?? 22, connection.user ?? "root"].map(valueOf),
    );
    const label = await valueOf(hostLabel(host));
    const advice = adviceFor(error, label, Number(port), String(user), address as string);
    // The engine ends the program as soon as the hook returns.
    if (advice) await pulumi.log.error(ifRefused ? `${advice}; ${ifRefused}` : advice);
  });
  let firstAt: number | undefined;
  return new pulumi.ErrorHook(`${name}-advice`, async ({ errors }) => {
    const [error = "", ...earlier] = errors;
    firstAt ??= Date.now();
    if (
      isWorthAnotherTry(error, earlier.length, host) &&
      Date.now() - firstAt < patienceOf(host, ifRefused)
    ) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return true;
    }
    await explain(error);
    return false; // the provider has tried again already
  });
}

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
    (isUnreachable(error) || /exited without exit status|\bEOF\b/.test(error))
  );
}

/** The exit statuses after which a retry makes sense; shell/lib/lib.sh explains each. */
export const exitStatus = { confirmAgain: 75, tunnelRestarts: 76 };

/** In the provider's own words, which come before those of the script. */
function endedWith(error: string, status: number): boolean {
  return error.includes(`Process exited with status ${status}: running `);
}

/** A hook that repeats the warnings of a script, which are otherwise visible only while it runs. */
export function warningsOf(name: string): pulumi.ResourceHook {
  const warn = inProgram((text: string) => pulumi.log.warn(text));
  return new pulumi.ResourceHook(`${name}-warnings`, async ({ newOutputs }) => {
    const { stderr = "" } = (newOutputs ?? {}) as { stderr?: string };
    for (const [, text = ""] of stderr.matchAll(/^warning: (.*)$/gm)) await warn(printable(text, 1000));
  });
}

/** Pulumi calls hooks from outside the program, where a program of the Automation API finds no engine to log to. */
function inProgram<T>(act: (value: T) => Promise<void>): (value: T) => Promise<void> {
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
): string | undefined {
  if (/host key mismatch/.test(error)) {
    return `${host} answers with a host key that differs from the settings or known_hosts; if the host was not reinstalled, this may be an attack: compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then correct hostKey`;
  }
  if (/unable to authenticate/.test(error)) {
    return `${host} refuses the login of '${user}'; check the key or password of admin, and that '${user}' may log in there: 'ssh -p ${port} ${user}@${address}'`;
  }
  if (isUnreachable(error)) {
    return `${host} cannot be reached on port ${port}; check that it is on, that the address and port are right, and that no firewall is in the way`;
  }
  return undefined;
}

function isUnreachable(error: string): boolean {
  return /dial tcp|i\/o timeout|connection refused|no route to host|connection reset|handshake failed: EOF|rejected: connect failed/i.test(
    error,
  );
}
