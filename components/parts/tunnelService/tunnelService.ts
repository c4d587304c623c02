import * as pulumi from "@pulumi/pulumi";
import { tunnelAccount } from "../account/account.ts";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import type { Host } from "../../remote/host.ts";
import { toolsDirectoryOf } from "../../remote/host.ts";
import { keepAlivePresets } from "../../settings/keepAlive.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { Program } from "../../remote/scriptText.ts";
import { assertValid } from "../../render/checks.ts";
import { forNamespaces, renderCheckUnit, renderTimer, renderTunnelUnit } from "../../render/systemdUnits.ts";
import type { ClientSide } from "../clientConfig/clientOptions.ts";
import { statusValues } from "../statusValues.ts";
import type { Via } from "./wayOut.ts";
import { wayOut } from "./wayOut.ts";

/** Arguments of {@link tunnelService}. */
export interface TunnelServiceArgs {
  /** The internal host. */
  host: Host;
  /** The tunnel's name. */
  tunnel: string;
  /** The account that ssh runs as. */
  account: pulumi.Input<string>;
  /** Where and how it logs in. One of the aliases must be `ssh-tunnel-<name>`. */
  login: ClientSide;
  /** The argument of each `-R`. @example ["127.0.0.1:2222:127.0.0.1:22"] */
  remoteForwards: pulumi.Input<string>[];
  /** The forwards that the watchdog checks, as rendered by {@link forwardWord}. */
  forwards: pulumi.Input<string>[];
  /** Seconds before systemd restarts a tunnel that has ended. `RestartSec`. @default 0.1 */
  restartSec?: pulumi.Input<number>;
  /** The longest pause between two attempts, in seconds; see {@link KeepAlive}. @default 30 */
  restartMaxDelaySec?: pulumi.Input<number>;
  /** Seconds between two checks of the watchdog. @default 15 */
  watchdogIntervalSec?: pulumi.Input<number>;
  /** The folder that node_exporter on the internal host reads text files from. @default none */
  textfileDirectory?: string | undefined;
  /** How many seconds a changed tunnel has to come up before it is rolled back. @default 30 */
  timeoutSec?: number;
  /** Changes with the tunnel's key; a login then tries it. */
  fingerprint: pulumi.Input<string>;
  /** What leads to the public host. @default a direct connection */
  via?: Via;
}

/** Names of a tunnel's units on the internal host: the service, and the watchdog's timer. */
export function tunnelUnits(tunnel: string): [service: string, watchdog: string] {
  return [`ssh-tunnel-${tunnel}.service`, `ssh-tunnel-${tunnel}-watchdog.timer`];
}

/**
 * The internal host's end of a tunnel: `ssh -N -R …` as a systemd service, started at boot and always restarted,
 * with the Host entry and the host keys for its login, and a watchdog.
 *
 * A running tunnel is changed on trial (`trialValues`): the host restores the previous one unless the new one works. If
 * the admin connection goes through the tunnel itself, a new login must also confirm the change.
 */
export function tunnelService(args: TunnelServiceArgs): Part {
  const { host, tunnel, login, via = {} } = args;
  const service = `ssh-tunnel-${tunnel}`;
  const watchdog = `${service}-watchdog`;
  const programs = programsOf(host, tunnel);
  const timeoutSec = assertValid("number", args.timeoutSec ?? defaultTimeoutSec);
  const forwards = pulumi.all(args.forwards).apply((all) => all.map((each) => assertValid("unitWord", each)));

  const units = pulumi
    .all([
      args.account,
      args.fingerprint,
      args.restartSec ?? keepAlivePresets.fast.restartSec,
      args.restartMaxDelaySec ?? keepAlivePresets.fast.restartMaxDelaySec,
      args.watchdogIntervalSec ?? 15,
      forwards,
      pulumi.all(args.remoteForwards),
    ])
    .apply(([account, fingerprint, restartSec, maxDelay, intervalSec, words, remoteForwards]) => {
      const needsHome = account !== tunnelAccount(tunnel);
      const description = `Watchdog of the reverse SSH tunnel ${tunnel}`;
      return {
        service: renderTunnelUnit({
          description: `Reverse SSH tunnel ${tunnel}`,
          account,
          runtimeDirectory: service,
          command: [
            `${programs}/tunnel`,
            service,
            String(assertValid("number", maxDelay)),
            ...remoteForwards.map((forward) => `-R ${forward}`),
          ],
          restartSec,
          fingerprint,
          needsHome,
          ...(via.proxy || via.jump ? { environment: ["SHELL=/bin/sh"] } : {}), // which ssh starts a ProxyCommand with
        }),
        check: renderCheckUnit({
          description,
          environment: [
            `CHECK_INTERVAL=${assertValid("number", intervalSec)}`,
            `ACCOUNT=${assertValid("account", account)}`,
            "KEY_MADE=@made@", // as the host finds it
          ],
          runtimeDirectory: watchdog,
          writable: `/run/${service}`, // to reset the back-off of its restarts
          command: [`${programs}/watchdog`, "repair", service, `/run/${service}`, ...words],
          needsHome,
        }),
        timer: renderTimer({ description, service: `${watchdog}.service`, intervalSec }),
      };
    });

  return {
    script: "tunnelService",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      FILE: assertValid("file", login.file),
      ALIAS: service,
      FORWARDS: forwards.apply((all) => all.join(" ")),
      ...wayOut(login, via, programs),
      PROGRAMS: programs,
      TUNNEL_PROGRAM: new Program("tunnel"),
      NETWORK_PROGRAM: new Program("network"),
      WATCHDOG_PROGRAM: new Program("watchdog"),
      SERVICE: service,
      SERVICE_UNIT: units.service.apply((unit) => forNamespaces(unit, host)),
      CHECK_UNIT: units.check.apply((unit) => forNamespaces(unit, host)),
      TIMER_UNIT: units.timer,
      SECONDS_TO_WAIT: String(timeoutSec),
      ...statusValues({
        tunnel,
        runtimeDirectory: watchdog,
        textfileDirectory: args.textfileDirectory,
      }),
    },
  };
}

/** @see TunnelServiceArgs.timeoutSec */
export const defaultTimeoutSec = 30;

/**
 * Where the programs of a tunnel are installed. A folder called `bin` below /opt has the SELinux type bin_t, from which
 * systemd may start programs. systemd may not start /usr/bin/ssh itself there (ssh_exec_t).
 */
export function programsOf(host: Host, tunnel: string): string {
  return `${toolsDirectoryOf(host)}/ssh-tunnel-${assertValid("tunnel", tunnel)}/bin`;
}
