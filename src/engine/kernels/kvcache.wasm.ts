// Generated from kernels/kvcache/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'zVhbjxxHFa7q68zOdddZ79Xe0+2d3Z21DQblwUkAu7WSSbAw+QNEjsgK0Ws7nmU0EQIzgxAPQUJC8WV54zlGChIv3KwgEBI88cAvMFIM4h9EyJ3lO1Xd' +
  '0z0zPbOziRxlxtXbU6e66pzv3L62eP27N6UQQvrmdbvLH3F9ttu9o277H3Fd3pFdoybN3Vsd5+buzTf3v2cIaTq2gUel+0Xb3b31rTff2H1eGPHdRSHd' +
  '19vt3VtvPC+s+O6iMPsPz/z6BfuPUppdEo98GdQ7Qa9ntDyDZHCIj9vCZK/Xe2R9w7pMRtB7Kvf5z4f4owRP3asrtZK+/6upFuHHjx4f/sncw02lE8hW' +
  'iD/7yaJfmF/nRfgZn2G2eNra943gI4Gphc6eLzu+iQdxkiTZDuReC1Lc4q7tyystkmS8sk9muF/6p20Uu+Ydkp5DZrAWBtdbfimw294MlQIDq8mimTD0' +
  'XLICbI97/At6MnxaEuZlMql4FfoIKmJx6OnVXnlHiF7Xq/KfQ68WCK+AtYWAXsFanE2FG+G2Ifw6VR94VapR/cCrQS5Dr1CWpRJ2k22/QuUQsupdbNPd' +
  'ub8jHnf/dsDXrz6oC7/wkhRUhpKyHVIlJBw2IC+zvACEZCuotN9nVd669wgz7KCg3t5/HyeXR+TljHxYcajs1WFhgUo3QiqqM/F5zepSnWp3qXr/52oC' +
  'SkDhB0+lHYjSi4LVYMvYckCUGBh6Rb7F/rbe3wEw9g1Mk8sgSrI9MQKkrUC3GfQiHgToo0DavLmtzhEMpEVyApA2AyWDy3tkjaIoWWiPoGQPoMhxOCjn' +
  'UM2imNVao+hCtR+2FJBQFy6Epq3pEdUmAkYrhpGfj40uHTg6ppN4nkE8B7LjlWmGQ9qGC8sI6aIKaZujrDwQ0o4OaUeFdEmthvccz9beqKfecLDe0d7j' +
  'hHR0WFep/gAmwh/sDYcVc5SObKnvUIG9UWdv3A6GveGqsIWijIkTEg4bkDssd0cAdzOA13HksNwZckhWcXZIFVY6fGpHOcTuBBbOtwO3xYr4Lrmfx7ls' +
  'ufYObLtL9Yx3bgexd/CQ2QlQlYx2e5+V1fYDnRLATGCIEYEWlbQqVBD8DsIacI9Cza4RZOpEEUngD0KtYkCoMyoMNbw7AWpLxzYCX4ziLFhojeBoDeAs' +
  'RuRiCOes1hrnIqvWoRngLILbCHmhwUIRQwYotC2ypkYbSAygrSEA6EgMHXTYNvQqKjH+NW9ad2rd4vdJePNIUqONpTLOkjWu+qtk+yf55hRwWwsoRP+C' +
  'bj5x80A2eFSLyjUx+I1KlsC8sMSy9tcsRxctchpVaZE3UPMXDYFf0GZRZ6wnsU7iGKOtQ6DG64TgdZINULUSa07SEu9lIkiXboS+T6uIkKjMa7Mfbz1n' +
  'rgEv8DnYkvfgQ3CZD1ldfxPpD8M6/mIYfdMU0bvS34rKh10hsiO6FlSiX0nevPdWdkT/loT1ooeDMgPr67z+VcixH6OzjnWPZfRf6a1Tg/jYNZXh6bmN' +
  'Y56L9ZPOjT6QXgO21WMUd8RHh1doPVqDLtGaPOCrwRfz4MCfQ2rgQ3M64laiE956DBvcw76J/Y+g0PFgM3x4HAeF0YdoVfhdT39HP5HKbBkUko6HvaHB' +
  'fe852I9vVCkUZ0rlSrUmpGFatuNCY7+v3zveHGqzQ0srWgtdJHxWB0XiTJ7vofAili5qhddxc0Y7eT16W8IARF6iePQHiVN+GquNX9F7/A++WWTAdHhW' +
  'aQmJgNapknM9WmHNVtBJcTXU1Qx/Q8/do7l3yLjnn+ConaUTB94sY5WYvcS3S+rW8OaoiLZepVOqs9g0C6JYopk98BddkWnha9DdpQU1/TJSf4YWQrQo' +
  'ntlj5oUHtwzkvQQMi2NgKKpwV8RsHfVGxzpuEGxsvA4OSNhW3TxtWtBW8vco19DcPX+WrTVo9gAWLLCJC2qfU4k5ADoww+AHLWWXTQ77pKoJS78WpDwl' +
  'L2/x3GnVg/Wjp5OgM6IT0ROVFH//S3YguaBk+aWHv7uUHWwu1l6+mh1s0GbO9BPpbSEoyt/+zqsvZIfKX+TbFy5lB2/9RFWAH/de+312aAlynw//x85v' +
  'X8wOHI5nWFJ4u/Cl7Eglf353+8vZkUoePtz+SnakEqB2KTuURMtUnfpAVxLI0sFrAASKjcgOJEOwwKUED6qi+h4gTkd0JboGrDnDG5CrUnOao+m0ioKp' +
  'Ehw1pkkekpzLv2ZeJ2klKfMraI+roZIhNcbEuYtnQHwkB4jLdb1KK4GLMHZ14jeQUKsIGyxCiS/2Sy0MPlap5UiZVOI34xK/qev7BsxXtCI98RkU9w1Y' +
  'BcTdI4u7ERd3Y7C4a/BUWSUGSBV39zjF3eXirs7nvbm4Y+tt1di8+bgMFVU1nrZV58ypLB2a24Jf+Q0Rp8fvFvEb1Dq5yvHndMVXLxZRETTxrK7xqvme' +
  '48KfTHAv5mfq+plkehOJM7BuCwE2z2/BqGDJu5WnX3oRXwlg/5O0rd2jANKCOrw5IKjHAkLADAigsRJcQLIOCC5ka/UKV82VmEGZmW6ywd8p0q6hirRn' +
  'qXedZc64ZfJUxqjA0JTVelnhaWuqzSDirUTw6z86Dy0PdpIM77aS59EE8rdIOhtvxp0NM8OdbcL+dciwaYMLVzP6jwZ6mdFZVhT3lydBcevdmbEUl18E' +
  'VzlIO96ZT0Z2ve1Phe3azHbzWn1eumxMYrtb4ESK7fr9wtQ8ZmHC+omlsBk3hWbMdhuIST5Ws9303I1jnov1RxfEYbbb4KjHBQURV4MvY9hu8pIwhu0u' +
  'qvxu9Asi/+a0nobtTsjKvn75bBevJnQGNG/cW02G7aILc6x1kr63HV3rM14/YbyNwIp+xmXlGvFcynshKWQlpFeXeY5/X0gZcgObUj5DbjBDxgUMGVcw' +
  'ZFw/iwyZocsw5MZYhgzJKEOewG1Sd346DHnj4zBkFI2pGTJT3hyG3MxlyJzz4xgyJGMYcnMsQ9aSPIasJXkMWUvyGLKW5DHkppap2jaOIQOISQxZFeIc' +
  'htxQVQF0UJenDEOeqiigLp39BAyZ4/wohrwxhiE/m/8EaWCd6gmbMH+IIT+DhgBmN8SQxzSEHIacgjeBIacNIeF50zDkc0dR49y+nkeDc+aaTI1RMgbV' +
  'x/uIcvf5uDEoYxQx/lyfB2/Q+bQ/JNPcvM+nzSGZ3kLWnNf9IZlCUaA1rtgAKLF5mCArHnwuhyBvDApSgqx4cCpICXJzUDAdQd7k7xRZtzGeIHNcZAgy' +
  'gJ2CIDcmEeTRLY5NkAf2VwQZ7uS6dTaHIP8f';

/** The compiled caches of keys and values in few bits. */
export const kvcacheWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
