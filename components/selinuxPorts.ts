import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { checked } from "./render/checks.ts";

/** Arguments of {@link SelinuxPorts}. */
export interface SelinuxPortsArgs {
  /** The public host. */
  host: Host;
  /** The TCP ports that sshd listens on for a tunnel. */
  ports: pulumi.Input<number>[];
  /** Whether a missing semanage may be installed from the distribution's packages. @default true */
  installPackages?: pulumi.Input<boolean>;
}

/**
 * Where SELinux is enabled, gives each port the type `ssh_port_t`, which sshd may listen on; the type that it had comes
 * back on destroy. Elsewhere does nothing and says so. See semanage-port(8).
 */
export class SelinuxPorts extends RemoteComponent {
  constructor(name: string, args: SelinuxPortsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("SelinuxPorts", name, opts);
    this.run(`${name}-script`, {
      host: args.host,
      what: "the SELinux types of the ports",
      parts: [
        {
          script: "selinuxPorts",
          values: {
            PORTS: pulumi
              .all(args.ports)
              .apply((ports) => ports.map((port) => checked("number", port)).join("\n")),
            INSTALL_PACKAGE: pulumi
              .output(args.installPackages ?? true)
              .apply((allowed) => (allowed ? "yes" : "no")),
          },
        },
      ],
    });
    this.registerOutputs({});
  }
}
