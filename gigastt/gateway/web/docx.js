/** A Word document of paragraphs: three parts of XML in a zip file without compression (ECMA-376, PKWARE APPNOTE). */

const WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const PACKAGE = "http://schemas.openxmlformats.org/package/2006";
const OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';

/**
 * @param {string} title
 * @param {{time: string, who: string, text: string}[]} paragraphs
 */
export function docx(title, paragraphs) {
  const run = (/** @type {string} */ text, properties = "") =>
    `<w:r>${properties && `<w:rPr>${properties}</w:rPr>`}<w:t xml:space="preserve">${escaped(text)}</w:t></w:r>`;
  const body = paragraphs.map(
    ({ time, who, text }) => `<w:p>${run(`${time}  `, '<w:color w:val="666666"/>')}${who && run(`${who}: `, "<w:b/>")}${run(text)}</w:p>`,
  );
  const heading = `<w:p>${run(title, '<w:b/><w:sz w:val="32"/>')}</w:p>`;
  return zip({
    "[Content_Types].xml":
      `${HEAD}<Types xmlns="${PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
      `<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`,
    "_rels/.rels":
      `${HEAD}<Relationships xmlns="${PACKAGE}/relationships"><Relationship Id="r1" Type="${OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>`,
    "word/document.xml": `${HEAD}<w:document xmlns:w="${WORD}"><w:body>${heading}${body.join("")}</w:body></w:document>`,
  });
}

/**
 * Text for XML, without the characters that XML cannot hold.
 * @param {string} text
 */
function escaped(text) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out
  const allowed = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "");
  return allowed.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** @param {Record<string, string>} parts */
function zip(parts) {
  const encoder = new TextEncoder();
  const records = [];
  const directory = [];
  let offset = 0;
  for (const [name, text] of Object.entries(parts)) {
    const [path, content] = [encoder.encode(name), encoder.encode(text)];
    const common = [20, 2, 0x0800, 2, 0, 2, 0, 2, 33, 2, crc32(content), 4, content.length, 4, content.length, 4, path.length, 2, 0, 2];
    const local = [fields(0x04034b50, 4, ...common), path, content];
    directory.push(fields(0x02014b50, 4, 20, 2, ...common, 0, 2, 0, 2, 0, 2, 0, 4, offset, 4), path);
    records.push(...local);
    offset += size(local);
  }
  const count = directory.length / 2;
  const end = fields(0x06054b50, 4, 0, 2, 0, 2, count, 2, count, 2, size(directory), 4, offset, 4, 0, 2);
  return join([...records, ...directory, end]);
}

/** Little-endian numbers, each followed by its length in bytes. */
function fields(/** @type {number[]} */ ...values) {
  const bytes = [];
  for (let index = 0; index < values.length; index += 2) {
    for (let byte = 0; byte < values[index + 1]; byte++) bytes.push((values[index] >>> (8 * byte)) & 255);
  }
  return Uint8Array.from(bytes);
}

const size = (/** @type {Uint8Array[]} */ pieces) => pieces.reduce((sum, piece) => sum + piece.length, 0);

function join(/** @type {Uint8Array[]} */ pieces) {
  const whole = new Uint8Array(size(pieces));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}

function crc32(/** @type {Uint8Array} */ bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ -1) >>> 0;
}
