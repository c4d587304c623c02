import * as pulumi from "@pulumi/pulumi";
import { knownOr } from "../../remote/knownOr.ts";
import { printedLine, validateOutput } from "../../remote/validateOutput.ts";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import type { Host } from "../../remote/host.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { oneLine } from "../../render/checks.ts";

/** Arguments of {@link keyPair}. */
export interface KeyPairArgs {
  /** The account that will log in with it. */
  account: string;
  /** File name below `~/.ssh/ssh-reverse-tunnel`. @example "nas.key" */
  file: string;
  /** Comment of the public key. */
  comment: pulumi.Input<string>;
  /** The types of keys that the sshd accepts which it is for: {@link HostFacts.keyTypes}. @default "ed25519 ecdsa" */
  types?: pulumi.Input<string>;
}

/** As ssh-keygen writes it: no options before the key, and nothing after its comment. */
const publicKey = /^(ssh-ed25519|ecdsa-sha2-nistp256) [A-Za-z0-9+/]+={0,2}( \P{Cc}*)?$/u;

/**
 * A key pair, created on its host with ssh-keygen(1): ed25519, or ecdsa where that is not accepted, for example in FIPS
 * mode. The private half is never an output and never in the
 * state. An existing file of that name that is not ours is refused, never overwritten.
 */
export function keyPair(args: KeyPairArgs): Part {
  return {
    script: "keyPair",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      FILE: assertValidInput("file", args.file),
      COMMENT: pulumi.output(args.comment).apply(oneLine),
      TYPES: args.types ?? "ed25519 ecdsa",
    },
  };
}

/**
 * The public half, `type AAAA… comment`, from the output of a script that has {@link keyPair} among its parts.
 */
export function publicKeyFrom(
  host: Host,
  stdout: pulumi.Output<string>,
  { account, file }: Pick<KeyPairArgs, "account" | "file">,
): pulumi.Output<string> {
  const start = `key ${account}/${file} `;
  const printed = stdout.apply((text) => {
    const line = printedLine(text, start);
    const key = line.slice(start.length);
    validateOutput(host.name, line, line.startsWith(start) && publicKey.test(key), "its public key");
    return key;
  });
  // In the preview of a repair, the script's output is not known, but its key stays as it is.
  const known = host.keys?.[`${account}/${file}`];
  return known !== undefined && publicKey.test(known) ? knownOr(pulumi.output(known), printed) : printed;
}
