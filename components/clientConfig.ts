import * as pulumi from "@pulumi/pulumi";
import { checkedInput } from "./checkedInput.ts";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { renderHostEntry } from "./render/hostEntry.ts";

/** Arguments of {@link ClientConfig}. */
export interface ClientConfigArgs {
  /** The host that logs in elsewhere. */
  host: Host;
  /** The account that does. */
  account: pulumi.Input<string>;
  /** File name below `~/.ssh/ssh-reverse-tunnel`; must end in `.conf`. @example "nas.conf" */
  file: pulumi.Input<string>;
  /** Patterns of the Host line. @example ["nas"] */
  patterns: pulumi.Input<string[]>;
  /** Options of the entry, ssh_config(5). */
  options: pulumi.Input<Record<string, string | number>>;
}

/** A `Host` entry in a file of its own, included from the first line of the account's `~/.ssh/config`. */
export class ClientConfig extends RemoteComponent {
  constructor(name: string, args: ClientConfigArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ClientConfig", name, opts);
    this.run(`${name}-script`, {
      host: args.host,
      what: pulumi.interpolate`the ssh client configuration ${args.file} of ${args.account}`,
      parts: [
        {
          script: "clientConfig",
          values: {
            ACCOUNT: checkedInput("account", args.account),
            FILE: checkedInput("clientConfig", args.file),
            ENTRY: pulumi
              .all([args.patterns, args.options])
              .apply(([patterns, options]) => renderHostEntry(patterns, options)),
          },
        },
      ],
    });
    this.registerOutputs({});
  }
}
