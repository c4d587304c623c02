import * as pulumi from "@pulumi/pulumi";
import { checkedInput } from "./checkedInput.ts";
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
  /** The account that it runs as; it needs no rights. */
  account: pulumi.Input<string>;
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
 * A check of a tunnel's forwards from the public host, which a systemd timer starts. It keeps what it finds for
 * `ssh-tunnel-status`, which is installed beside it, and reports changes to the journal.
 */
export class HealthCheck extends pulumi.ComponentResource {
  /** Name of the timer. */
  public readonly unit: string;

  constructor(name: string, args: HealthCheckArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:HealthCheck", name, {}, opts);
    const base = `ssh-tunnel-${args.tunnel}-health`;
    const program = `${programsOf(args.host, args.tunnel)}/health`;
    const description = `Check of the reverse SSH tunnel ${args.tunnel}`;
    this.unit = `${base}.timer`;
    const units = pulumi
      .all([checkedInput("account", args.account), args.intervalSec ?? 30, pulumi.all(args.forwards)])
      .apply(([account, intervalSec, forwards]) => ({
        service: renderCheckUnit({
          description,
          account,
          runtimeDirectory: base,
          intervalSec,
          command: [program, "keep", args.tunnel, ...forwards.map((forward) => checked("unitWord", forward))],
          needsHome: false,
        }),
        timer: renderTimer({ description, service: `${base}.service`, intervalSec }),
      }));
    new SystemdUnits(
      `${name}-units`,
      {
        host: args.host,
        program: { source: "health", path: program },
        status: { tunnel: args.tunnel, check: "health", textfileDirectory: args.textfileDirectory },
        units: { [`${base}.service`]: units.service, [this.unit]: units.timer },
        start: this.unit,
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.registerOutputs({ unit: this.unit });
  }
}
