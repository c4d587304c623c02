import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { renderCheckUnit, renderTimer } from "./render/systemdUnits.ts";
import { SystemdUnits } from "./systemdUnits.ts";
import { programPath, tunnelAccount } from "./tunnelService.ts";

/** Arguments of {@link HealthCheck}. */
export interface HealthCheckArgs {
  /** The host that it runs on. */
  host: Host;
  /** The tunnel that it looks at. */
  tunnel: string;
  /** Which check: `watchdog` on the internal host, which restarts a tunnel that leads nowhere; `health` on the public host. */
  check: "watchdog" | "health";
  /** What the program is called with. */
  command: pulumi.Input<string>[];
  /** The account that it runs as. @default one that systemd makes up (DynamicUser) */
  account?: pulumi.Input<string>;
  /** Seconds between two checks. */
  intervalSec: pulumi.Input<number>;
}

/** A check of a tunnel that a systemd timer starts, and that reports to the journal. */
export class HealthCheck extends pulumi.ComponentResource {
  /** Name of the timer. */
  public readonly unit: string;

  constructor(name: string, args: HealthCheckArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:HealthCheck", name, {}, opts);
    const base = `ssh-tunnel-${args.tunnel}-${args.check}`;
    const program = programPath(args.tunnel, args.check);
    const description = `Check of the reverse SSH tunnel ${args.tunnel}`;
    this.unit = `${base}.timer`;
    const service = pulumi
      .all([pulumi.output(args.account), pulumi.all(args.command)])
      .apply(([account, command]) =>
        renderCheckUnit({
          description,
          account,
          // What the health check remembers from one run to the next.
          ...(args.check === "health" ? { runtimeDirectory: base } : {}),
          command: [program, ...command],
          needsHome: account !== undefined && account !== tunnelAccount(args.tunnel),
        }),
      );
    new SystemdUnits(
      `${name}-units`,
      {
        host: args.host,
        program: { source: args.check, path: program },
        units: {
          [`${base}.service`]: service,
          [this.unit]: pulumi
            .output(args.intervalSec)
            .apply((intervalSec) => renderTimer({ description, service: `${base}.service`, intervalSec })),
        },
        start: this.unit,
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.registerOutputs({ unit: this.unit });
  }
}
