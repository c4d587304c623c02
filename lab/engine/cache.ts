import { homedir } from "node:os";
import { join } from "node:path";

/** The version of the Pulumi CLI that the lab downloads or builds if none is installed. */
export const PULUMI_VERSION = "3.259.0";

/**
 * Where this version's CLI, plugins and PULUMI_HOME are kept between runs. Nothing is written to the user's own
 * `~/.pulumi`.
 */
export function cacheDirectory(): string {
  // The XDG specification says to ignore an empty or relative value.
  const xdg = process.env.XDG_CACHE_HOME;
  const base = xdg?.startsWith("/") ? xdg : join(homedir(), ".cache");
  return join(base, "ssh-reverse-tunnel", `pulumi-${PULUMI_VERSION}`);
}

/** The PULUMI_HOME that the user's own Pulumi would use: plugins found there count as installed. */
export function userPulumiHome(): string {
  return process.env.PULUMI_HOME ?? join(homedir(), ".pulumi");
}
