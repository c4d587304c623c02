import { findEngine } from "../../../lab/engine.ts";
import { requireRoot, requireTools } from "../../../lab/machine.ts";
import { SUITES, rootImage } from "../../../lab/root.ts";

/**
 * What every file needs on a machine that has none of it: tools, an image, an engine. It runs before the first file:
 * otherwise each worker would build its own engine at the same time, and the time limits of the tests are too short for
 * that.
 */
export default async function prepare(): Promise<void> {
  try {
    requireRoot();
    await requireTools(console.error);
    await rootImage(SUITES[0], console.error);
    await findEngine();
  } catch (error) {
    console.error(String(error)); // each test reports it, too, and fails
  }
}
