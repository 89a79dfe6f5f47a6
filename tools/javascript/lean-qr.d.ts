// The copied library for QR codes, as far as the page uses it.

export function generate(text: string): { size: number; get(x: number, y: number): boolean };
