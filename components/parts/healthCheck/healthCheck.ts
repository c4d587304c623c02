import * as pulumi from "@pulumi/pulumi";
import type { Host } from "../../remote/host.ts";
import { toolsDirectoryOf } from "../../remote/host.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { ownerId } from "../../remote/remoteScript.ts";
import { Program } from "../../remote/scriptText.ts";
import { assertValid } from "../../render/checks.ts";
import { renderCheckUnit, renderPace, renderTimer } from "../../render/systemdUnits.ts";
import { statusValues } from "../statusValues.ts";

/** Arguments of {@link healthCheck}. */
export interface HealthCheckArgs {
  /** The public host. */
  host: Host;
  /** The tunnel that it looks at. */
  tunnel: string;
  /** The forwards, as {@link forwardWord} has them. */
  forwards: pulumi.Input<string>[];
  /** Seconds between two checks. @default 30 */
  intervalSec?: pulumi.Input<number>;
  /** A folder in which a node_exporter looks for text files. @default none */
  textfileDirectory?: string | undefined;
}

/** The timer of the check, which is that of all tunnels of the stack on a public host. */
export function healthTimer(): string {
  return assertValid("unit", `${healthUnits()}.timer`);
}

// No tunnel's unit begins like this.
const healthUnits = () => `ssh-tunnels-${ownerId()}-health`;

/**
 * A check of a tunnel's forwards from the public host. All tunnels of a stack have one in common there, which a systemd timer
 * starts; each adds a list of its forwards. It keeps what it finds for `ssh-tunnel-status`, which is installed beside it,
 * and reports changes to the journal.
 */
export function healthCheck(args: HealthCheckArgs): Part {
  const tunnel = assertValid("tunnel", args.tunnel);
  const owner = ownerId();
  const units = healthUnits();
  const lists = `/etc/ssh-reverse-tunnel/${units}`;
  const programs = `${toolsDirectoryOf(args.host)}/${owner}/bin`;
  const description = `Check of the reverse SSH tunnels of ${owner}`;
  const interval = pulumi.output(args.intervalSec ?? 30).apply((seconds) => assertValid("number", seconds));
  return {
    script: "healthCheck",
    values: {
      TUNNEL: tunnel,
      LISTS: lists,
      LIST: pulumi
        .all([interval, pulumi.all(args.forwards)])
        .apply(([seconds, forwards]) =>
          [`interval ${seconds}`, ...forwards.map((forward) => assertValid("unitWord", forward))].join("\n"),
        ),
      PROGRAMS: programs,
      HEALTH_PROGRAM: new Program("health"),
      PROBE_PROGRAM: new Program("probe"),
      UNITS: units,
      SERVICE_UNIT: renderCheckUnit({
        description,
        // nobody, in a group of its own: a process of nobody's in another group can neither trace it nor speak in its place.
        environment: ["LOOKS_AS=65534:65533"],
        runtimeDirectory: units,
        command: [`${programs}/health`, lists],
        needsHome: false,
      }),
      TIMER_UNIT: renderTimer({ description, service: `${units}.service` }),
      INTERVAL: interval.apply(String),
      PACE: interval.apply(renderPace),
      ...statusValues({ tunnel, runtimeDirectory: units, textfileDirectory: args.textfileDirectory }),
    },
  };
}
