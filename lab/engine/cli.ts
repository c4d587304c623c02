import { findEngine } from "../engine.ts";

const HELP = `npm run engine: find a Pulumi engine for the lab, or make one

Looks for the Pulumi CLI on PATH, then among what it kept earlier, then downloads it where its checksum is given,
then builds it from its Go module (some minutes; needs Go). Finds the command and random providers the same way; where they cannot be
had, the lab's stand-ins take their place, and a warning says so.

  npm run engine              print what was found, with paths and versions
  npm run engine -- --help    print this

Environment:
  LAB_PROVIDERS=auto          (default) the official providers, or else the stand-ins
  LAB_PROVIDERS=official      fail where the official providers cannot be had
  LAB_PROVIDERS=stand-in      use the stand-ins even where the official providers are there
  LAB_PULUMI_SHA256=SUM       the SHA-256 of the release's archive, from its list of checksums: then it is downloaded
  XDG_CACHE_HOME              the cache is $XDG_CACHE_HOME/ssh-reverse-tunnel (default ~/.cache)
`;

async function main(args: string[]): Promise<void> {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    process.stdout.write(HELP);
    return;
  }
  if (args.length > 0) throw new Error(`unknown argument "${args.join(" ")}": try --help`);
  const engine = await findEngine();
  console.log(`pulumi  ${engine.version}  ${engine.path}  (${engine.origin})`);
  for (const provider of engine.providers) {
    console.log(`${provider.name}  ${provider.version}  ${provider.path}  (${provider.origin})`);
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
