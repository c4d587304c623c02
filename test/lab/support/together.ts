/** Does the same for each item at the same time, and waits for all; an error names its item. */
export async function together<T>(
  each: readonly T[],
  nameOf: (one: T) => string,
  act: (one: T) => Promise<void>,
): Promise<void> {
  const outcomes = await Promise.allSettled(each.map(act));
  const failures = outcomes.flatMap((outcome, index) => {
    if (outcome.status === "fulfilled") return [];
    const failure = outcome.reason instanceof Error ? outcome.reason : new Error(String(outcome.reason));
    // It includes the difference that an assertion has found.
    failure.message = `${nameOf(each[index]!)}: ${failure.message}`;
    return [failure];
  });
  if (failures.length === 0) return;
  if (failures.length === 1) throw failures[0]!;
  throw new AggregateError(failures, failures.map(({ message }) => message).join("\n"));
}
