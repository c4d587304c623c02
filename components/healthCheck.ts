import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { checked } from "./render/checks.ts";
import { renderCheckUnit, renderTimer } from "./render/systemdUnits.ts";
import { SystemdUnits } from "./systemdUnits.ts";
import { programsOf } from "./tunnelService.ts";

/** Arguments of {@link HealthCheck}. */
export interface HealthCheckArgs {
  /** The public host. */
  host: Host;
  /** The tunnel that it looks at. */
  tunnel: string;
  /** Each forward: name, address, port, protocol. @example ["ssh,127.0.0.1,2222,ssh"] */
  forwards: pulumi.Input<string>[];
  /** Seconds between two checks. @default 30 */
  intervalSec?: pulumi.Input<number>;
}

/** A check of a tunnel's forwards from the public host, which a systemd timer starts, and which reports to the journal. */
export class HealthCheck extends pulumi.ComponentResource {
  /** Name of the timer. */
  public readonly unit: string;

  constructor(name: string, args: HealthCheckArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:HealthCheck", name, {}, opts);
    const base = `ssh-tunnel-${args.tunnel}-health`;
    const program = `${programsOf(args.tunnel)}/health`;
    const description = `Check of the reverse SSH tunnel ${args.tunnel}`;
    this.unit = `${base}.timer`;
    const service = pulumi.all(args.forwards).apply((forwards) =>
      renderCheckUnit({
        description,
        account: undefined,
        // What it remembers from one run to the next.
        runtimeDirectory: base,
        command: [program, args.tunnel, ...forwards.map((forward) => checked("unitWord", forward))],
        needsHome: false,
      }),
    );
    new SystemdUnits(
      `${name}-units`,
      {
        host: args.host,
        program: { source: "health", path: program },
        units: {
          [`${base}.service`]: service,
          [this.unit]: pulumi
            .output(args.intervalSec ?? 30)
            .apply((intervalSec) => renderTimer({ description, service: `${base}.service`, intervalSec })),
        },
        start: this.unit,
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.registerOutputs({ unit: this.unit });
  }
}
