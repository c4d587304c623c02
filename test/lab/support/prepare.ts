import { findEngine } from "../../../lab/engine.ts";
import { requireRoot, requireTools } from "../../../lab/machine.ts";
import { SUITES, rootImage } from "../../../lab/root.ts";
import { WATCHES } from "./packages.ts";

/**
 * What the files need on a machine that has none of it: tools, images, an engine. It runs before the first file:
 * otherwise each worker would build its own engine at the same time, and the time limits of the tests are too short for
 * that.
 */
export default async function prepare(): Promise<void> {
  try {
    requireRoot();
    await requireTools(console.error);
    await rootImage(SUITES[0], console.error);
    await rootImage(SUITES[0], console.error, WATCHES);
    await findEngine();
  } catch (error) {
    console.error(String(error)); // each test reports it, too, and fails
  }
}
