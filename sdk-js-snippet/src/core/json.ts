/** What a text says as JSON, or `otherwise` where it says nothing: it may have been written by anybody. */
export function parsed<T>(text: string | null, otherwise: T): T {
  try {
    return JSON.parse(text!) || otherwise;
  } catch {
    return otherwise;
  }
}
