// What Pulumi runs as the policy pack: pack.ts, as it is.
/* global module */
// @ts-check
module.exports = async () => {
  (await import("tsx/esm/api")).register();
  await import("./pack.ts");
};
