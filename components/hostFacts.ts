import type * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";

/** Arguments of {@link HostFacts}. */
export interface HostFactsArgs {
  /** The host to look at. */
  host: Host;
  /** Whether tunnels end here: then sshd must know permitlisten (OpenSSH 7.8). */
  needsServer: boolean;
}

/**
 * Looks, first of all, whether a host can be managed (systemd, sudo, OpenSSH), and reads its public host keys at the
 * source, over the admin connection: the other side then need not trust whatever answers first.
 *
 * Errors name the host and what to do: no systemd, sudo asks for a password, OpenSSH missing or too old.
 */
export class HostFacts extends RemoteComponent {
  /** The public host keys, each `type base64`. */
  public readonly hostKeys: pulumi.Output<string[]>;

  constructor(name: string, args: HostFactsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("HostFacts", name, opts);
    const script = this.run(`${name}-script`, {
      host: args.host,
      script: "hostFacts",
      what: "the host can be managed",
      values: { NEEDS_SERVER: args.needsServer ? "yes" : "no" },
      first: true,
      removes: false,
    });
    this.hostKeys = script.stdout.apply((keys) => keys.split("\n").filter((key) => key !== ""));
    this.registerOutputs({ hostKeys: this.hostKeys });
  }
}
