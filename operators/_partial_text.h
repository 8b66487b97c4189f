/* Pieces of JSON text in C: how a string goes on, and what a number or word stands for. */

#ifndef FORETELL_PARTIAL_TEXT_H
#define FORETELL_PARTIAL_TEXT_H

typedef struct {
    PyObject *object;
    int kind;
    const void *data;
    Py_ssize_t end;
} Text;

#define AT(text, pos) PyUnicode_READ((text)->kind, (text)->data, pos)

static Text
text_of(PyObject *object)
{
    return (Text){object, PyUnicode_KIND(object), PyUnicode_DATA(object),
                  PyUnicode_GET_LENGTH(object)};
}

static int
is_blank(Py_UCS4 c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static int
is_of_scalar(Py_UCS4 c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'
        || c == '+' || c == '.';
}

/* Strings */

typedef enum { WHOLE, GOES_ON, CUT, ODD, FAILED } Part;

/* Up to four hex digits: their value, -1 if the text ends before, -2 if others come. */
static int
unit(const Text *text, Py_ssize_t pos)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        if (pos + i >= text->end) {
            return -1;
        }
        Py_UCS4 c = AT(text, pos + i);
        int digit = c >= '0' && c <= '9' ? (int)c - '0'
            : (c | 32) >= 'a' && (c | 32) <= 'f' && c < 128 ? (int)(c | 32) - 'a' + 10 : -1;
        if (digit < 0) {
            return -2;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* The length of the escape at `pos`, 0 if it is cut, -1 if JSON has it not. */
static int
escape(const Text *text, Py_ssize_t pos, Py_UCS4 *character)
{
    if (pos + 1 >= text->end) {
        return 0;
    }
    Py_UCS4 c = AT(text, pos + 1);
    switch (c) {
    case '"': case '\\': case '/': *character = c; return 2;
    case 'b': *character = '\b'; return 2;
    case 'f': *character = '\f'; return 2;
    case 'n': *character = '\n'; return 2;
    case 'r': *character = '\r'; return 2;
    case 't': *character = '\t'; return 2;
    case 'u': break;
    default: return -1;
    }
    int high = unit(text, pos + 2);
    if (high < 0) {
        return high == -1 ? 0 : -1;
    }
    *character = (Py_UCS4)high;
    if (high < 0xD800 || high > 0xDFFF) {
        return 6;
    }
    if (high >= 0xDC00) {
        return -1;
    }
    if (pos + 6 >= text->end) {
        return 0;
    }
    if (AT(text, pos + 6) != '\\') {
        return -1;
    }
    if (pos + 7 >= text->end) {
        return 0;
    }
    if (AT(text, pos + 7) != 'u') {
        return -1;
    }
    int low = unit(text, pos + 8);
    if (low == -1) {
        return 0;
    }
    if (low < 0xDC00 || low > 0xDFFF) {
        return -1;
    }
    *character = 0x10000 + (((Py_UCS4)high - 0xD800) << 10) + (Py_UCS4)low - 0xDC00;
    return 12;
}

/* `text` from `pos` to `stop` with its escapes resolved. */
static PyObject *
unescaped(const Text *text, Py_ssize_t pos, Py_ssize_t stop)
{
    Py_UCS4 few[64] = {0}, *all = few;
    Py_ssize_t size = 0;
    if (stop - pos > 64 && (all = PyMem_New(Py_UCS4, stop - pos)) == NULL) {
        return PyErr_NoMemory();
    }
    while (pos < stop) {
        Py_UCS4 c = AT(text, pos);
        pos += c == '\\' ? escape(text, pos, &c) : 1;
        all[size++] = c;
    }
    PyObject *value = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, all, size);
    if (all != few) {
        PyMem_Free(all);
    }
    return value;
}

/* How the string at `pos` goes on: up to `stop`, with the value of that, if nothing is odd. */
static Part
string_part(const Text *text, Py_ssize_t pos, Py_ssize_t *stop, PyObject **value)
{
    Py_ssize_t at = pos;
    int escapes = 0;
    Part part = GOES_ON;
    while (at < text->end) {
        Py_UCS4 c = AT(text, at);
        if (c == '"') {
            part = WHOLE;
            break;
        }
        if (c < 0x20 || (c >= 0xD800 && c <= 0xDFFF)) {
            return ODD;
        }
        int length = c == '\\' ? escape(text, at, &c) : 1;
        if (length < 0) {
            return ODD;
        }
        if (length == 0) {
            part = CUT;
            break;
        }
        escapes |= length > 1;
        at += length;
    }
    *stop = at;
    *value = escapes ? unescaped(text, pos, at) : PyUnicode_Substring(text->object, pos, at);
    return *value == NULL ? FAILED : part;
}

/* Names, numbers and words */

#define LONGEST 63 /* a longer name or number goes on in Python */

/* What has come of a name, a number or a word. */
typedef struct {
    int length;
    char text[LONGEST + 1];
} Token;

/* Adds `text` from `pos` to `stop`, all ASCII, to the token; no if it does not fit. */
static int
add_to_token(Token *token, const Text *text, Py_ssize_t pos, Py_ssize_t stop)
{
    if (stop - pos > LONGEST - token->length) {
        return 0;
    }
    while (pos < stop) {
        token->text[token->length++] = (char)AT(text, pos++);
    }
    return 1;
}

static const char *
digits(const char *at)
{
    while (*at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

/* The value of the token; NULL, without an error, if that is for Python to say. */
static PyObject *
scalar(Token *read)
{
    const char *token = read->text, *at = token + (*token == '-'), *whole = at;
    read->text[read->length] = '\0';
    if (*token == 't' || *token == 'f' || *token == 'n') {
        return !strcmp(token, "true") ? Py_NewRef(Py_True)
            : !strcmp(token, "false") ? Py_NewRef(Py_False)
            : !strcmp(token, "null") ? Py_NewRef(Py_None) : NULL;
    }
    if ((at = digits(at)) == whole || (*whole == '0' && at - whole > 1)) {
        return NULL;
    }
    if (*at == '\0') {
        if (at - whole > 18 || (*token == '-' && *whole == '0')) {
            return NULL;
        }
        long long value = 0;
        for (; whole < at; whole++) {
            value = value * 10 + (*whole - '0');
        }
        return PyLong_FromLongLong(*token == '-' ? -value : value);
    }
    if (*at == '.') {
        const char *point = at++;
        if ((at = digits(at)) == point + 1) {
            return NULL;
        }
    }
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '+' || at[1] == '-');
        const char *exponent = at;
        if ((at = digits(at)) == exponent) {
            return NULL;
        }
    }
    if (*at != '\0') {
        return NULL;
    }
    double value = PyOS_string_to_double(token, NULL, NULL);
    if (value - value != 0 || (value == -1.0 && PyErr_Occurred())) {
        PyErr_Clear();
        return NULL;
    }
    return PyFloat_FromDouble(value);
}

#endif
