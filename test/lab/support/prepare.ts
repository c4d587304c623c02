import { findEngine } from "../../../lab/engine.ts";
import { requireRoot, requireTools } from "../../../lab/machine.ts";
import { SUITES, rootImage } from "../../../lab/root.ts";

/**
 * What every file needs on a machine that has none of it: tools, an image, an engine. Before the first file, since each
 * worker would build an engine of its own, beside the others, and the limits of the tests are not made for that.
 */
export default async function prepare(): Promise<void> {
  try {
    requireRoot();
    await requireTools(console.error);
    await rootImage(SUITES[0], console.error);
    await findEngine();
  } catch (error) {
    console.error(String(error)); // each test says it, too, and fails
  }
}
