import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { toolsDirectoryOf } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { Program, ownerId } from "./remoteScript.ts";
import { checked } from "./render/checks.ts";
import { renderCheckUnit, renderPace, renderTimer } from "./render/systemdUnits.ts";
import { statusValues } from "./status.ts";

/** Arguments of {@link HealthCheck}. */
export interface HealthCheckArgs {
  /** The public host. */
  host: Host;
  /** The tunnel that it looks at. */
  tunnel: string;
  /**
   * Each forward: name, address, port, protocol, target, and who may reach it: `loopback`, `all` or an address.
   * @example ["ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback"]
   */
  forwards: pulumi.Input<string>[];
  /** Seconds between two checks. @default 30 */
  intervalSec?: pulumi.Input<number>;
  /** A folder in which a node_exporter looks for text files. @default none */
  textfileDirectory?: string | undefined;
}

/**
 * A check of a tunnel's forwards from the public host. All tunnels of a stack have one in common there, which a systemd timer
 * starts; each adds a list of its forwards. It keeps what it finds for `ssh-tunnel-status`, which is installed beside it,
 * and reports changes to the journal.
 */
export class HealthCheck extends RemoteComponent {
  /** Name of the timer, which is that of all tunnels of the stack. */
  public readonly unit: string;

  constructor(name: string, args: HealthCheckArgs, opts?: pulumi.ComponentResourceOptions) {
    super("HealthCheck", name, opts);
    const { host } = args;
    const tunnel = checked("tunnel", args.tunnel);
    const owner = ownerId();
    // No tunnel's unit begins like this.
    const units = `ssh-tunnels-${owner}-health`;
    const lists = `/etc/ssh-reverse-tunnel/${units}`;
    const programs = `${toolsDirectoryOf(host)}/${owner}/bin`;
    const description = `Check of the reverse SSH tunnels of ${owner}`;
    const interval = pulumi.output(args.intervalSec ?? 30).apply((seconds) => checked("number", seconds));
    this.unit = checked("unit", `${units}.timer`);
    this.run(`${name}-script`, {
      host,
      what: `the health check of ${tunnel}`,
      parts: [
        {
          script: "healthCheck",
          values: {
            TUNNEL: tunnel,
            LISTS: lists,
            LIST: pulumi
              .all([interval, pulumi.all(args.forwards)])
              .apply(([seconds, forwards]) =>
                [`interval ${seconds}`, ...forwards.map((forward) => checked("unitWord", forward))].join(
                  "\n",
                ),
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
        },
      ],
    });
    this.registerOutputs({ unit: this.unit });
  }
}
