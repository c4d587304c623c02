import * as pulumi from "@pulumi/pulumi";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { renderHostEntry } from "../../render/hostEntry.ts";

/** Arguments of {@link clientConfig}. */
export interface ClientConfigArgs {
  /** The account that logs in to the other host. */
  account: pulumi.Input<string>;
  /** File name below `~/.ssh/ssh-reverse-tunnel`; must end in `.conf`. @example "nas.conf" */
  file: pulumi.Input<string>;
  /** Patterns of the Host line. @example ["nas"] */
  patterns: pulumi.Input<string[]>;
  /** Options of the entry, ssh_config(5). */
  options: pulumi.Input<Record<string, string | number>>;
}

/** A `Host` entry in its own file, included from the first line of the account's `~/.ssh/config`. */
export function clientConfig(args: ClientConfigArgs): Part {
  return {
    script: "clientConfig",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      FILE: assertValidInput("clientConfig", args.file),
      ENTRY: pulumi
        .all([args.patterns, args.options])
        .apply(([patterns, options]) => renderHostEntry(patterns, options)),
    },
  };
}
