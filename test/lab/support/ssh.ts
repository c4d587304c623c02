import { execa } from "execa";
import type { Lab } from "../../../lab/lab.ts";

/** Runs a command on a host of a lab over the network, as a user would. */
export async function sshAsUser(lab: Lab, ...args: string[]) {
  return execa("ssh", ["-F", lab.sshConfigFile, ...args], {
    reject: false,
    stdin: "ignore",
    timeout: 30_000,
  });
}
