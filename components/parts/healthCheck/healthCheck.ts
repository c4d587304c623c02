import * as pulumi from "@pulumi/pulumi";
import type { Host } from "../../remote/host.ts";
import { toolsDirectoryOf } from "../../remote/host.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { ownerId } from "../../remote/remoteScript.ts";
import { Program } from "../../remote/scriptText.ts";
import { assertValid } from "../../render/checks.ts";
import { forNamespaces, renderCheckUnit, renderPace, renderTimer } from "../../render/systemdUnits.ts";
import { statusValues } from "../statusValues.ts";

/** Arguments of {@link healthCheck}. */
export interface HealthCheckArgs {
  /** The public host. */
  host: Host;
  /** The tunnel to check. */
  tunnel: string;
  /** The forwards, as rendered by {@link forwardWord}. */
  forwards: pulumi.Input<string>[];
  /** Whether the tunnel may run. One that is disabled is not checked, and is shown as such. @default true */
  enabled?: boolean;
  /** Seconds between two checks. @default 30 */
  intervalSec?: pulumi.Input<number>;
  /** The folder that node_exporter reads text files from. @default none */
  textfileDirectory?: string | undefined;
}

/** The timer of the check, shared by all tunnels of the stack on a public host. */
export function healthTimer(): string {
  return assertValid("unit", `${healthUnits()}.timer`);
}

/** The name of service and timer of the check, and of its folders. No unit of a tunnel has this prefix. */
export const healthUnits = () => `ssh-tunnels-${ownerId()}-health`;

/**
 * A check of a tunnel's forwards from the public host. All tunnels of a stack share one check there, started by a
 * systemd timer; each tunnel adds a list of its forwards. The check stores its results for `ssh-tunnel-status`, which
 * is installed with it, and reports changes to the journal.
 */
export function healthCheck(args: HealthCheckArgs): Part {
  const tunnel = assertValid("tunnel", args.tunnel);
  const owner = ownerId();
  const units = healthUnits();
  const lists = `/etc/ssh-reverse-tunnel/${units}`;
  const programs = `${toolsDirectoryOf(args.host)}/${owner}/bin`;
  const description = `Check of the reverse SSH tunnels of ${owner}`;
  const service = renderCheckUnit({
    description,
    // nobody, in a separate group: a process of nobody in another group can neither trace it nor answer in its place.
    environment: ["LOOKS_AS=65534:65533"],
    runtimeDirectory: units,
    remembers: true, // the last connection of each tunnel
    command: [`${programs}/health`, lists],
    needsHome: false,
  });
  const interval = pulumi.output(args.intervalSec ?? 30).apply((seconds) => assertValid("number", seconds));
  return {
    script: "healthCheck",
    values: {
      TUNNEL: tunnel,
      LISTS: lists,
      LIST: pulumi
        .all([interval, pulumi.all(args.forwards)])
        .apply(([seconds, forwards]) =>
          [
            args.enabled === false ? "disabled" : `interval ${seconds}`,
            ...forwards.map((forward) => assertValid("unitWord", forward)),
          ].join("\n"),
        ),
      PROGRAMS: programs,
      HEALTH_PROGRAM: new Program("health"),
      PROBE_PROGRAM: new Program("probe"),
      UNITS: units,
      SERVICE_UNIT: forNamespaces(service, args.host),
      TIMER_UNIT: renderTimer({ description, service: `${units}.service` }),
      INTERVAL: interval.apply(String),
      PACE: interval.apply(renderPace),
      ...statusValues({
        tunnel,
        runtimeDirectory: units,
        // It has no metrics, and node_exporter must not be led to a file that does not exist.
        textfileDirectory: args.enabled === false ? undefined : args.textfileDirectory,
      }),
    },
  };
}
