import * as pulumi from "@pulumi/pulumi";
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
}

/** As ssh-keygen writes it: no options before the key, and nothing after its comment. */
const publicKey = /^ssh-ed25519 [A-Za-z0-9+/]+={0,2}( \P{Cc}*)?$/u;

/**
 * An ed25519 key pair, created on its host with ssh-keygen(1). The private half is never an output and never in the
 * state. An existing file of that name that is not ours is refused, never overwritten.
 */
export function keyPair(args: KeyPairArgs): Part {
  return {
    script: "keyPair",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      FILE: assertValidInput("file", args.file),
      COMMENT: pulumi.output(args.comment).apply(oneLine),
    },
  };
}

/**
 * The public half, `ssh-ed25519 AAAA… comment`, from the output of a script that has {@link keyPair} among its parts.
 */
export function publicKeyFrom(
  host: Host,
  stdout: pulumi.Output<string>,
  { account, file }: Pick<KeyPairArgs, "account" | "file">,
): pulumi.Output<string> {
  const start = `key ${account}/${file} `;
  return stdout.apply((text) => {
    const line = printedLine(text, start);
    const key = line.slice(start.length);
    validateOutput(host.name, line, line.startsWith(start) && publicKey.test(key), "its public key");
    return key;
  });
}
