/** The items whose ids are named in an option such as "--tools project,frp"; all if the option is missing. */
export function chosen<T extends { id: string }>(option: string, names: string | undefined, all: T[]): T[] {
  if (names === undefined) return all;
  const ids = all.map(({ id }) => id);
  for (const name of names.split(",")) {
    if (!ids.includes(name))
      throw new Error(`${option}: "${name}" is none of them; choose from ${ids.join(",")}`);
  }
  return all.filter(({ id }) => names.split(",").includes(id));
}

/** A number of an option, at least 1. */
export function count(option: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new Error(`${option} takes a whole number, 1 or more; not "${text}"`);
}

/** The numbers of an option such as "--hosts 1,10", in ascending order. */
export function counts(option: string, text: string): number[] {
  const numbers = text.split(",").map((part) => count(option, part));
  return [...new Set(numbers)].toSorted((a, b) => a - b);
}
