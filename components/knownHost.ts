import * as pulumi from "@pulumi/pulumi";
import { checkedInput } from "./checkedInput.ts";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { renderKnownHosts } from "./render/hostEntry.ts";

/** Arguments of {@link KnownHost}. */
export interface KnownHostArgs {
  /** The host that logs in elsewhere. */
  host: Host;
  /** The account that does. */
  account: pulumi.Input<string>;
  /** File name below `~/.ssh/ssh-reverse-tunnel`. @example "nas.known_hosts" */
  file: pulumi.Input<string>;
  /** The name that the keys are for: the HostKeyAlias of the login. */
  alias: pulumi.Input<string>;
  /** The other side's public host keys, as {@link HostFacts} read them there. */
  hostKeys: pulumi.Input<string[]>;
}

/** The other side's host keys, pinned in a known_hosts file of their own: nothing is trusted on first use. */
export class KnownHost extends RemoteComponent {
  constructor(name: string, args: KnownHostArgs, opts?: pulumi.ComponentResourceOptions) {
    super("KnownHost", name, opts);
    this.run(`${name}-script`, {
      host: args.host,
      what: pulumi.interpolate`the pinned host keys of ${args.alias}`,
      parts: [
        {
          script: "knownHost",
          values: {
            ACCOUNT: checkedInput("account", args.account),
            FILE: checkedInput("file", args.file),
            KEYS: pulumi
              .all([args.alias, args.hostKeys])
              .apply(([alias, keys]) => renderKnownHosts(alias, keys)),
          },
        },
      ],
    });
    this.registerOutputs({});
  }
}
