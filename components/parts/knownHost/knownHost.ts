import * as pulumi from "@pulumi/pulumi";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { renderKnownHosts } from "../../render/hostEntry.ts";

/** Arguments of {@link knownHost}. */
export interface KnownHostArgs {
  /** The account that logs in to the other host. */
  account: pulumi.Input<string>;
  /** File name below `~/.ssh/ssh-reverse-tunnel`. @example "nas.known_hosts" */
  file: pulumi.Input<string>;
  /** The name under which the keys are listed: the HostKeyAlias of the login. */
  alias: pulumi.Input<string>;
  /** The other host's public host keys, as {@link HostFacts} read them there. */
  hostKeys: pulumi.Input<string[]>;
}

/** The other host's keys, pinned in their own known_hosts file: nothing is trusted on first use. */
export function knownHost(args: KnownHostArgs): Part {
  return {
    script: "knownHost",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      FILE: assertValidInput("file", args.file),
      KEYS: pulumi.all([args.alias, args.hostKeys]).apply(([alias, keys]) => renderKnownHosts(alias, keys)),
    },
  };
}
