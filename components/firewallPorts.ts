import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent, fingerprintOf } from "./remoteComponent.ts";
import { checked } from "./render/checks.ts";

/** Arguments of {@link FirewallPorts}. */
export interface FirewallPortsArgs {
  /** The public host. */
  host: Host;
  /** The TCP ports that others may reach. */
  ports: pulumi.Input<number>[];
}

/**
 * Opens ports where firewalld (its running and its permanent state, in the default zone) or ufw is active, and closes on
 * destroy what it opened, not what was open before. Elsewhere does nothing and says so. On trial: the host closes them
 * again by itself unless a new login shows that it can still be reached.
 */
export class FirewallPorts extends RemoteComponent {
  constructor(name: string, args: FirewallPortsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("FirewallPorts", name, opts);
    this.runOnTrial(
      name,
      {
        host: args.host,
        script: "firewallPorts",
        what: "the firewall",
        values: {
          PORTS: pulumi
            .all(args.ports)
            .apply((ports) => ports.map((port) => checked("number", port)).join("\n")),
        },
      },
      {
        name: `firewall-${fingerprintOf(name)}`,
        ifRefused:
          "if it is the change to the firewall that prevents it, the host takes that back by itself within a minute",
      },
    );
    this.registerOutputs({});
  }
}
