// Generated from kernels/integer/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'tVVNj+NEEO22HefDdmxPJs7MZj6eDeyCxGEPCA5IaCwhgfaKuO9oFAl5PDvLbjQCgTZHbkj8DbTiByA484u4baR9VXayySg5bg6V7vcqVdVVrzvm8uWN' +
  'NcbYT92n/cXqY56G67Vuo83twjixdWfP7vyb2c3ti58dY92OxxhO94tO53l9eTUztnd1++zutr6bGTdaLb+ePZ//YJzui9nLq8t6Zsw6wOC/xPvDOu7C' +
  'f+VewGLwxLvAAP5t0S+deRHArT5zTB7CQ79059UnrskjdBAoPCxN3ufvHPTldwbd10WM3usigSGP8BWiXzH8rUiRIP1uSjxG8v30K3L90lZ5H6b0qtyE' +
  'NggwEGQgy+B3a90FeqWBj24NW5d2/iYwWqKkYl5f8/qSt8fq/EocOxV90a/ozlD0CujlImhOZT52zJfWtDkJ2MYPgWQOtAhflr4umwq1nv9dZ7DwfmEo' +
  'r2Zf2AKn7FblTz8yQH6olcRSVk8W10WIsOw9mWp/Eq0gaYpOufGQcrMMOfytT57twCY8cKxVjtjeARKeDmldIW7OOGbQkEE7CJsMB9z4OJADZxizNWGN' +
  'Lg5qdV8azxRHGOn38fIfu/zL5hkmOMLx8l/dTXAgxz7ACIdMqo0IBQl1GSBCzPSeVJJW7EXF02bLqflc5o2IjhiWVvIrbt/hAQlnTTjbhLsm3G3Ca4jJ' +
  'VgohOmviXg7VhBL3cnTXhOQIkMq5Uj1XIstEl3HZq/JYx/7nwBkuondjT9hnn/2seRXyYx37kbTdk8V1ESFiudP8kHMY69jHTUYPY/l9pYLIyGRMB+/b' +
  'nTLADizfgRU7sPMd2HQHdrIDO92BnVF0AYun8rJGQnkKS/nzrs7zB63eOqo3biYqvokcOqX0JnJt2UsyIzJdjIQBYtXfQ0T6/cHyb1UekKPBkuLDFstR' +
  'tBiKj1qswHmLPS4ettg5pnxZHjQCf4RVyClO8AirYCc45W4V5hRn3K0CnGEkYx9x+gkr5iAvrvNI9TARaUx02V6NVJ4GaYWCQ4DaFMOZ0jpq3Uq0N8RU' +
  'OBpytORohfNw2NySIZKKysnFj4Z+tPSjbWJEOBGOhhwtOVqNETCI3igGkYoYpxBfGvrS0pd2FedUOBpytORo13H0Akoct5Y45+JLQ19a+tKu4pwJR0OO' +
  'lhxtGycrnYovylCaOdT2eMi+2anz96HL+4KMVZDyNKsg40aQo/YWdpEJM20fxPNGkBvaaZBkQz8Ngg0NNcjjtY4yOXpGOVFHo00d8Rlv35V9OtqnFbOp' +
  'lb1q4IO2rYa981bPzXnvnahhXWMpdqwlHskf5xH/ko6r3PJdS/RR03+G4C0=';

/** The compiled convolutions of integer networks. */
export const integerWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
